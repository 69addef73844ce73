"""``bntt export`` and ``bntt import``: networks as files for use elsewhere, and from elsewhere."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Literal

import tyro

from bntt.cli import console
from bntt.cli.predict import DEFAULT, check_pretrained
from bntt.cli.train import Overrides

ENDINGS = (".safetensors", ".onnx", ".nir")


def export(
    run: tyro.conf.Positional[Path | None] = None,
    pretrained: str = "",
    to: Literal["bundle", "onnx", "onnx-step", "nir"] = "bundle",
    weights: Literal["float32", "float16", "int8"] = "float32",
    lossy: Literal["constant"] | None = None,
    out: Path | None = None,
    overrides: Overrides = (),
) -> None:
    """Write a run's best epoch for use elsewhere; by default a network that comes with the package.

    A bundle is one file with all that evaluation needs: weights, scale and shift of every step and channel, neurons,
    encoder, classes and provenance. Run it without PyTorch with bntt.deploy.Runtime, or on pictures with bntt predict
    --bundle. Its card is printed too: the memory and operations that hardware needs, measured on some of the run's
    images. ONNX files have opset 20 and take any batch. NIR files hold values that vary over time as metadata, which
    bntt.deploy.from_nir reads; for other frameworks, pass --lossy constant.

    Example: bntt export runs/fashion-mnist --to bundle --weights int8

    Args:
        run: the run directory.
        pretrained: or a network of `bntt list pretrained`, by name.
        to: the format: a bundle; ONNX with all steps in one graph, or with one step and its state; or NIR.
        weights: type of the weights in the file; int8 has one scale per output channel. The runtime computes in float32
            with all of them: int8 makes the file smaller, not memory or time. ONNX and NIR use float32.
        lossy: "constant" makes scale and shift the same at every step, and the reset hard, as other frameworks have it.
            It takes the median, the mean or one step's values, whichever has the highest accuracy on at most 1,000
            validation images of RUN.
        out: the file to write; RUN/bundle-float32.safetensors by default, named after format and weights.
        overrides: where the run's data are, or another value of compute: `-s data.root=FOLDER`, `-s
            compute.precision=fp32`.
    """
    from bntt.analysis.measurement import ArgumentError, Progress
    from bntt.deploy.from_torch import export as write
    from bntt.runs.exported import constant_of, describe_pretrained, describe_run
    from bntt.runs.measure import card_of_pretrained, card_of_run
    from bntt.runs.open_run import load_run

    name = str(run) if run else pretrained or DEFAULT
    console.refuse(
        (run and pretrained, "RUN and --pretrained: choose one"),
        (not (out or run), f"--out FILE is needed where no run is named: {name} comes with the package"),
        (out and out.is_dir(), f"--out {out} is a directory: name the file to write, such as {out}/bundle.safetensors"),
        (
            out and out.is_file() and (out.parent.name == "checkpoints" or out.suffix not in ENDINGS),
            f"--out {out} exists and is no earlier export: name another file",
        ),
        (
            lossy and (not run or to != "nir"),
            "--lossy constant is for --to nir, and chosen on the validation images of a run: name a RUN",
        ),
        (overrides and not run, "-s changes the recipe of a run: name a RUN"),
    )
    if not run:
        check_pretrained(name)
    loaded = load_run(run, overrides=overrides) if run else None
    made = describe_run(loaded) if loaded else describe_pretrained(name)
    if lossy and loaded:
        found = constant_of(loaded, made)
        for by, right in found.accuracies.items():
            console.line(f"{by:>8}: {right:.1%} right")
        console.line(f"constant by {found.by}, of {found.samples:,} validation images")
        made = found.description
    ending = {"bundle": ".safetensors", "nir": ".nir"}.get(to, ".onnx")
    path = out or (run or Path()) / f"{to}-{lossy or weights}{ending}"
    write(made, path, to, weights=weights)
    console.line(f"{name}: {len(made.layers)} layers, {made.num_steps} steps, {len(made.classes)} classes")
    console.line(f"written: {path} ({path.stat().st_size:,} bytes)")
    if to.startswith("onnx"):
        random, timed = made.encoder.kind.startswith("poisson"), made.encoder.kind in ("frames", "sequence")
        what = "the encoder's spikes" if random else "frames or sequences" if timed else "images in [0, 1]"
        console.line(f"its input is {what}, {'[T, B, ...]' if (random or timed) and to == 'onnx' else '[B, ...]'}")
    if to == "nir" and not lossy:
        console.line("SpikingJelly, snnTorch and Norse cannot read it: they take --lossy constant, less accurate")
    if to != "bundle":
        return
    if made.pictures is not None and made.encoder.kind != "frames":
        without = "without PyTorch (bntt-runtime): python -m bntt_runtime"
        console.line("run it: bntt predict IMAGE --bundle {0}; {1} {0} IMAGE".format(quote(str(path)), without))
    else:
        console.line("it takes no pictures: run it in Python by bntt.deploy.Runtime(FILE).run(samples)")
    try:
        with console.progress("measuring the card") as report:
            card = card_of_run(loaded, made, Progress(report)) if loaded else card_of_pretrained(name, made)
    except ArgumentError as error:
        console.line(f"no card: {error}")
    else:
        console.section(card.title, card.section())


def import_file(
    file: tyro.conf.Positional[Path],
    model: str,
    data: str = "",
    overrides: Overrides = (),
    layout: Literal["auto", "released", "spikingjelly", "snntorch"] = "auto",
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
    name: str = "",
    root: Path = Path("runs"),
) -> None:
    """Import weights of BNTT's released code, or of SpikingJelly's or snnTorch's BNTT layers, as a run.

    The file is a state dict of torch.save (.pth.tar, .pt). Only tensors are read, no code runs, and every entry must
    fit the network. The file has weights, γ, statistics and T, and from snnTorch the leak, but not data and encoder:
    the command prints what it assumes, and -s changes that. Without --data the result is ROOT/NAME.safetensors, for
    use in Python.

    Example: bntt import bestmodel.pth.tar --model vgg9 --data cifar10 -s network.leak=0.95

    Args:
        file: the file written by torch.save.
        model: the network, see `bntt list models`.
        data: the dataset that it was trained on, see `bntt list datasets`; it must be prepared.
        overrides: a value of the recipe to change, repeatable: `-s network.fire=before -s encoder.name=direct`.
        layout: naming scheme of the file; "auto" detects it.
        mean: mean of the pixels, per channel; by default the released code's, or the data's own.
        std: standard deviation of the pixels, per channel.
        name: name of the run directory; the file's by default.
        root: folder for new run directories.
    """
    from bntt.runs.directory import check_folders
    from bntt.runs.imported import import_network
    from bntt.runs.training.start import check_name

    folder = name or file.name.partition(".")[0]
    check_name(folder)
    check_folders(root)
    path, recipe, foreign = import_network(
        file,
        folder,
        root,
        model=model,
        layout="" if layout == "auto" else layout,
        data=data,
        overrides=overrides,
        pixels=(mean, std),
    )
    network, encoder = recipe.network, recipe.encoder
    for note in foreign.notes:
        console.line(note)
    tensors = len(foreign.synapses) + sum(map(len, foreign.norms.values()))
    console.line(f"{file}: {foreign.layout} names, T = {foreign.num_steps}, {tensors} tensors, each in its place")
    leak = "" if foreign.leak is not None else f"leak {network.leak:g}, "
    console.line(
        f"assumed, as the file does not say it: {leak}ε {network.norm_eps:g}, firing {network.fire} "
        f"integration, {network.reset} reset" + (f", {encoder.name} coding" if data else "")
    )
    if data:
        console.line(f"run directory: {path}; measure it: bntt evaluate {path}")
    else:
        console.line(f"written: {path}; bntt.load_checkpoint reads it into a network of bntt.models.{network.name}")
