"""``bntt export``: a trained network in a file for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tyro

NAME = "fashion-mnist-vgg6"


def export(
    run: tyro.conf.Positional[Path | None] = None,
    to: Literal["bundle"] = "bundle",
    weights: Literal["float32", "float16", "int8"] = "float32",
    out: Path | None = None,
) -> None:
    """Write a run's best epoch for use elsewhere, by default the network that comes with the package.

    A bundle is one file with all that evaluation needs: weights, scale and shift of every step and channel, neurons,
    encoder, classes, and where they come from. bntt.deploy.Runtime runs it, and bntt predict --bundle, without PyTorch.

    Example: bntt export runs/fashion-mnist --to bundle --weights int8

    Args:
        run: the directory of a run.
        to: the kind of file.
        weights: their type; int8 has a step for each output channel.
        out: the file to write; RUN/bundle-float32.safetensors by default, named by target and weights.
    """
    from bntt.cli import console
    from bntt.deploy.targets import export as write
    from bntt.runs.exported import describe_pretrained, describe_run
    from bntt.runs.open_run import load_run
    from bntt.runs.recipe.file import RecipeError

    if run is None and out is None:
        raise RecipeError(f"--out FILE is needed where no run is named: {NAME}, which comes with the package, has none")
    if out is not None and out.is_dir():
        raise RecipeError(f"--out {out} is a directory: name the file to write, such as {out / 'bundle.safetensors'}")
    made = describe_pretrained(NAME) if run is None else describe_run(load_run(run))
    path = out or (run or Path()) / f"{to}-{weights}.safetensors"
    write(made, path, to, weights=weights)
    console.line(f"{run or NAME}: {len(made.layers)} layers, {made.num_steps} steps, {len(made.classes)} classes")
    console.line(f"written: {path} ({path.stat().st_size:,} bytes)")
