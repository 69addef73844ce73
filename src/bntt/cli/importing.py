"""``bntt import``: a network that was trained elsewhere, as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

from bntt.cli.train import Overrides


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
    from bntt.cli import console
    from bntt.runs.directory import check_folders
    from bntt.runs.imported import ImportSettings, import_network
    from bntt.runs.recipe.file import values_of
    from bntt.runs.training.start import check_name

    folder = name or file.name.partition(".")[0]
    check_name(folder)
    check_folders(root)
    settings = ImportSettings(model, "" if layout == "auto" else layout, data, overrides, mean, std)
    made = import_network(file, settings, folder, root)
    network, encoder = made.recipe.network, made.recipe.encoder
    for note in made.notes:
        console.line(note)
    console.line(f"{file}: {made.layout} names, T = {made.num_steps}, {made.tensors} tensors, each in its place")
    leak = "" if made.has_leak else f"leak {network.leak:g}, "
    console.line(
        f"assumed, as the file does not say it: {leak}ε {network.norm_eps:g}, firing {network.fire} "
        f"integration, {network.reset} reset" + (f", {encoder.name} coding" if data else "")
    )
    if data:
        console.line(f"run directory: {made.path}; measure it: bntt evaluate {made.path}")
    else:
        made_by = {**values_of(network, changed_only=True), "leak": network.leak}
        del made_by["name"]
        call = f"bntt.models.{network.name}({', '.join(f'{key}={value!r}' for key, value in made_by.items())})"
        console.line(f"written: {made.path}; bntt.load_checkpoint reads it into {call}, with the sizes of your data")
