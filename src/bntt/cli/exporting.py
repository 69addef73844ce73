"""``bntt export``: a trained network in a file for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Literal

import tyro

from bntt.cli.predict import DEFAULT, check_pretrained
from bntt.cli.train import Overrides


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
    from bntt.cli import console
    from bntt.deploy.targets import export as write
    from bntt.runs.exported import card_of_pretrained, card_of_run, constant_of, describe_pretrained, describe_run
    from bntt.runs.open_run import load_run
    from bntt.runs.recipe.file import RecipeError

    name = str(run) if run else pretrained or DEFAULT
    if run and pretrained:
        raise RecipeError("RUN and --pretrained: choose one")
    if out is None and not run:
        raise RecipeError(f"--out FILE is needed where no run is named: {name} comes with the package")
    if out is not None and out.is_dir():
        raise RecipeError(f"--out {out} is a directory: name the file to write, such as {out / 'bundle.safetensors'}")
    if out is not None and out.is_file() and (what := _part_of_run(out.resolve())):
        raise RecipeError(f"--out {out} is a run's {what}, which the export would replace: name another file")
    if lossy and (not run or to != "nir"):
        raise RecipeError("--lossy constant is for --to nir, and chosen on the validation images of a run: name a RUN")
    if overrides and not run:
        raise RecipeError("-s changes the recipe of a run: name a RUN")
    if not run:
        check_pretrained(name)
    loaded = load_run(run, overrides=overrides) if run else None
    made = describe_run(loaded) if loaded else describe_pretrained(name)
    if lossy and loaded:
        found = constant_of(loaded, made, lambda by, right: console.line(f"{by:>8}: {right:.1%} right"))
        console.line(f"constant by {found.by}, of {found.samples:,} validation images")
        made = found.description
    ending = {"bundle": "safetensors", "nir": "nir"}.get(to, "onnx")
    path = out or (run or Path()) / f"{to}-{lossy or weights}.{ending}"
    write(made, path, to, weights=weights)
    console.line(f"{name}: {len(made.layers)} layers, {made.num_steps} steps, {len(made.classes)} classes")
    console.line(f"written: {path} ({path.stat().st_size:,} bytes)")
    if to != "bundle":
        return
    if made.pictures is not None and made.encoder.kind != "frames":
        console.line(
            f"run it: bntt predict IMAGE --bundle {quote(str(path))}; without PyTorch (bntt-runtime): "
            f"python -m bntt_runtime {quote(str(path))} IMAGE"
        )
    else:
        console.line(
            "it takes no pictures: run it in Python by bntt.deploy.Runtime(FILE).run(samples), or .step one step at a "
            "time (docs/how-to/exporting.md)"
        )
    try:
        with console.progress("measuring the card") as report:
            card = card_of_run(loaded, made, Progress(report)) if loaded else card_of_pretrained(name, made)
    except ArgumentError as error:
        console.line(f"no card: {error}")
    else:
        console.section(card.title, card.section())


def _part_of_run(path: Path) -> str:
    """Return what a file is to a run; "" if it is no part of one, as an earlier export."""
    if path.parent.name == "checkpoints":
        return "checkpoint"
    inside = (path.parent / "recipe.toml").is_file() and path.suffix in (".toml", ".json", ".jsonl")
    return path.name if inside else ""
