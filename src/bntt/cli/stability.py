"""``bntt stability``: which starts fail, by norm, depth and learning rate, and how steady those are that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from bntt.cli.train import Overrides

if TYPE_CHECKING:
    from bntt.runs.measures.stability import Grid
    from bntt.runs.measures.stability_cell import Cell


def stability(
    recipe: tyro.conf.Positional[str],
    overrides: Overrides = (),
    networks: tuple[str, ...] = (),
    norms: tuple[str, ...] = ("none", "bn", "bntt"),
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0),
    starts: int = 3,
    steps: int = 100,
    images: int = 6400,
    out: Path = Path("stability"),
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Train a recipe from several starts with every norm, network and rate, and count those that fail.

    A start failed if numbers were not finite, or if its validation accuracy is below twice chance after all steps.
    Before, half-way and after them it tells the gradients of every layer and step, and how far a step along the
    gradient keeps its promise. Every start is kept as soon as it is done: the same command goes on where it stopped.
    Writes stability.json and stability.png.

    Example: bntt stability demo --networks vgg6 vgg9 --rates 0.1 1 10 --starts 3 --steps 50 --images 2000

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file.
        overrides: a value to change, repeatable: `-s network.num_steps=4`.
        networks: by name, the depths to compare; the recipe's own by default.
        norms: names from `bntt list norms`.
        rates: learning rates, constant through a start.
        starts: how many of each, with other seeds.
        steps: updates of a start.
        images: training images that a start sees, at most.
        out: folder for the results.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print a line for each start as CSV instead.
    """
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory
    from bntt.runs.figures.stability_figure import save_stability
    from bntt.runs.measures.stability import Grid, grid_json, rows, stability_cells
    from bntt.runs.recipe.build import require_device, with_whole_root
    from bntt.runs.recipe.file import load_recipe

    opening.check_form(as_json=json, as_csv=csv)
    require_device(device)
    chosen = with_whole_root(load_recipe(recipe, overrides))
    grid = Grid(networks or (chosen.network.name,), norms, rates, starts, steps, images)
    cells = []
    with console.progress("training", grid.updates) as advance:
        for cell in stability_cells(chosen, grid, out, device=device, progress=advance):
            cells.append(cell)
            if not (json or csv):
                console.line(_line(cell))
    values = grid_json(chosen, grid, cells)
    if shown := opening.told(values, rows(cells), as_json=json, as_csv=csv):
        _show(grid, cells)
    RunDirectory(out).keep("stability", values)
    save_stability(cells, out / "stability.png")
    if shown:
        console.line(f"written: {out / 'stability'}.json and .png")


def _line(cell: Cell) -> str:
    said = cell.failed or f"validation {cell.accuracy:.1%}"
    return f"{cell.network} {cell.norm} lr {cell.rate:g} start {cell.start + 1}: {said} after {cell.updates} updates"


def _show(grid: Grid, cells: Sequence[Cell]) -> None:
    from bntt.cli import console
    from bntt.runs.measures.stability import failures

    found = failures(cells)
    for network in grid.networks:
        counts = {(norm, rate): found[network, norm, rate] for norm in grid.norms for rate in grid.rates}
        heads = ("", *(f"lr {rate:g}" for rate in grid.rates))
        lines = [(norm, *("{} of {}".format(*counts[norm, rate]) for rate in grid.rates)) for norm in grid.norms]
        console.columns(f"starts of {network} that failed in {grid.steps} updates", heads, lines)
