"""``bntt train``: one recipe, one run directory."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from bntt.experiments.recipe import Recipe
    from bntt.experiments.run import RunDirectory

Overrides = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", aliases=["-s"], metavar="KEY=VALUE")
]
"""Values to put over a recipe's, each ``table.key=value``."""


def train(
    recipe: tyro.conf.Positional[str],
    overrides: Overrides = (),
    name: str = "",
    root: Path = Path("runs"),
    resume: bool = False,
    device: str = "cpu",
) -> None:
    """Train a recipe, validate after every epoch, and measure the best epoch on the test images.

    Example: bntt train fashion-mnist -s train.epochs=3 -s network.norm=bn

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file; with --resume a run directory.
        overrides: a value to change, repeatable: `-s network.num_steps=4`.
        name: of the run directory; the recipe's by default. A number is added rather than overwrite one.
        root: where new run directories are made.
        resume: go on in the run directory that is given as recipe, after its last saved epoch.
        device: cpu, or cuda.
    """
    from bntt.experiments.build import require_device
    from bntt.experiments.recipe import RecipeError, load_recipe
    from bntt.experiments.run import check_resumable, find_run, new_run_directory

    require_device(device)
    if resume:
        if overrides or name:
            raise RecipeError("--resume goes on with the run's own recipe: leave -s and --name away")
        run = find_run(Path(recipe))
        begun = load_recipe(run.recipe)
        check_resumable(begun, run)
        run_recipe(begun, lambda: run, resume=True, device=device)
        return
    chosen = load_recipe(recipe, overrides)
    folder = name or Path(recipe).stem
    if (
        Path(folder).name != folder
        or folder.strip() in ("", ".", "..")
        or len(folder) > 100
        or not folder.isprintable()
    ):
        raise RecipeError(f"--name {folder!r}: a run's name is one folder name of at most 100 printable characters")
    run_recipe(chosen, lambda: new_run_directory(folder, root), device=device)


def run_recipe(recipe: Recipe, place: Callable[[], RunDirectory], *, resume: bool = False, device: str = "cpu") -> None:
    """Load the data and build the network first, so that a mistake leaves no empty directory; then train and test."""
    from bntt.cli import console
    from bntt.experiments.build import build_data, build_model, describe_backend, with_whole_root
    from bntt.experiments.figures import save_overview
    from bntt.experiments.run import draws_of, evaluate_run, train_run

    _keep_freed_memory()
    recipe = with_whole_root(recipe)
    with console.progress_of("preparing data") as progress:
        data = build_data(recipe, progress)
    build_model(recipe, data, device)
    run = place()
    network, settings = recipe.network, recipe.train
    console.line(
        f"{data.label}: {len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test "
        f"images; {network.name} x{network.width:g} with {network.norm}, T={network.num_steps}, "
        f"{settings.epochs} epochs of batches of {settings.batch_size}"
    )
    console.line(describe_backend(recipe, device))
    if settings.lr == 0:
        console.line("warning: train.lr is 0: the weights will stay as they are")
    records = train_run(recipe, data, run, resume=resume, device=device)
    console.training(records, settings.epochs, len(data.train))
    with console.progress("testing", len(data.test) * draws_of(recipe)) as advance:
        result = evaluate_run(recipe, data, run, device=device, progress=advance)
    console.result(result)
    save_overview(result, run.path / "evaluation.png")
    console.line(f"run directory: {run.path}")


def _keep_freed_memory() -> None:
    """Let glibc keep what each training step frees: fresh pages cost plain PyTorch a third of a step (the fused kernels
    keep their buffers themselves)."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            libc.mallopt(parameter, value)
