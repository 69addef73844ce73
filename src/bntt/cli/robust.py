"""``bntt robust``: accuracy on noisy images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from bntt.cli.opening import Split

if TYPE_CHECKING:
    from bntt.runs.measures.robust import NoisyRun, RobustResult

Runs = Annotated[
    tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)")
]


def robust(
    runs: Runs,
    sigmas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    where: Literal["pixels", "normalized"] = "pixels",
    unclipped: bool = False,
    draws: int | None = None,
    images: int | None = None,
    split: Split = "test",
    steps: int | None = None,
    out: Path | None = None,
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Measure runs on images with Gaussian noise, the same for every run: accuracy against σ, and by number of steps.

    The noise is one image for each draw and image, held over all time steps; a Poisson code draws its spikes beside it.
    The first row, σ = 0, is the clean accuracy, and its spread the encoder's own noise. Of several runs the differences
    to the first are told, image by image. Writes robust.json and robust.png into the first run's directory
    (robust-validation.* for the other split).

    Example: bntt robust runs/fashion-mnist --sigmas 0.1 0.2 0.4 --draws 5 --images 1000

    Args:
        runs: run directories, one or several of the same images.
        sigmas: standard deviations of the noise; 0 is always measured.
        where: in what they are measured: the range of the pixels, or a deviation of the pixels, as they are normalised.
        unclipped: let noisy pixels leave the range from 0 to 1.
        draws: repetitions with fresh noise and spikes; as many as the first recipe says (5 by default).
        images: so many of the split, as many of each class as its shares allow; all by default.
        split: which images.
        steps: stop after so many time steps.
        out: folder for the files instead.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print a line for each run and σ as CSV instead.
    """
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.robust_figure import save_robust
    from bntt.runs.measures.robust import Noise, images_in_all, robust_json, robust_rows, robust_run
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError

    if not runs:
        raise RecipeError("name a run directory, or several to be compared: bntt robust RUN [RUN ...]")
    opening.check_form(as_json=json, as_csv=csv)
    require_device(device)
    asked = Noise(sigmas, where, not unclipped, draws, images, split, steps)
    loaded = [opening.opened(run, device, spiking=False) for run in runs]
    with console.progress("measuring", images_in_all(loaded, asked)) as advance:
        result = robust_run(loaded, asked, progress=advance)
    values = robust_json(result)
    if shown := opening.told(values, robust_rows(result), as_json=json, as_csv=csv):
        _show(result)
    folder = runs[0] if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    stem = stem_of("robust", split)
    RunDirectory(folder).keep(stem, values)
    save_robust(result, folder / f"{stem}.png")
    if shown:
        console.line(f"written: {folder / stem}.json and .png")


def _show(result: RobustResult) -> None:
    from bntt.cli import console

    unit = {"pixels": "of the pixels' range", "normalized": "of the pixels' deviation"}[result.asked.where]
    clipped = "clipped to [0, 1]" if result.asked.clip else "not clipped"
    console.line(f"{result.dataset}, {result.asked.split} images: {result.chosen}; noise σ {unit}, {clipped}")
    for run in result.runs:
        _show_run(run, result.runs[0])


def _show_run(run: NoisyRun, first: NoisyRun) -> None:
    from bntt.cli import console

    console.line("")
    rows = []
    for row in run.rows:
        found, draws = row.accuracy, len(row.accuracy.correct)
        spread, seconds = "-" if found.spread is None else f"{found.spread:.2%}", f"{row.seconds:.1f}"
        interval = "{:.1%} to {:.1%}".format(*found.interval)
        rows.append((f"{row.sigma:g}", f"{found.mean:.1%}", interval, spread, str(draws), row.random, seconds))
    heads = ("σ", "accuracy", "95% interval", "sd over draws", "draws", "drawn", "seconds")
    console.columns("{}: {network}, {norm}, {encoder}, {num_steps} steps".format(run.name, **run.facts), heads, rows)
    if len(clean := run.rows[0].accuracy.per_draw) > 1:
        console.line(f"clean, draw by draw: {', '.join(f'{share:.1%}' for share in clean)}")
    if differences := [(row.sigma, row.to_first) for row in run.rows if row.to_first is not None]:
        points = [
            (
                f"{sigma:g}",
                f"{100 * one.difference:+.1f}",
                "{:+.1f} to {:+.1f}".format(*(100 * x for x in one.interval)),
            )
            for sigma, one in differences
        ]
        title = f"accuracy minus that of {first.name} (points), on the same images and noise"
        console.columns(title, ("σ", "difference", "paired 95% interval"), points)
    steps = len(run.rows[0].accuracy.over_time)
    over_time = {f"σ {row.sigma:g}": [f"{share:.1%}" for share in row.accuracy.over_time] for row in run.rows}
    console.table("accuracy if stopped after step", steps, over_time)
