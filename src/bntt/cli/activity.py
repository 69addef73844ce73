"""``bntt activity``: who fires, and what γ is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from bntt.cli.opening import Split

if TYPE_CHECKING:
    from bntt.runs.measures.activity import ActivityResult


def activity(
    run: tyro.conf.Positional[Path],
    split: Split = "test",
    draws: int = 1,
    places: bool = False,
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Count a run's spikes by layer, step and class, and read its γ: peaks, spread, and how alike neighbours are.

    Writes activity.json, activity.png and, where there is a γ for each step, gamma.png into the run directory.

    Example: bntt activity runs/fashion-mnist

    Args:
        run: the run directory.
        split: which images.
        draws: repetitions with fresh noise.
        places: also write the spikes of every single neuron, as activity-places.npz.
        device: cpu, or cuda.
        json: print the numbers as JSON.
        csv: print a line for every layer and step as comma-separated values.
    """
    from bntt.analysis.measurement import draws_of
    from bntt.cli import console, opening
    from bntt.io.whole_file import write_whole
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.activity_figure import save_activity, save_gamma
    from bntt.runs.measures.activity import activity_json, activity_rows, activity_run, places_file
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError

    if draws < 1:
        raise RecipeError(f"--draws must be 1 or more, got {draws}")
    require_device(device)
    loaded = opening.opened(run, device, as_json=json, as_csv=csv)
    draws_of(loaded.facts, draws)
    with console.progress("counting", draws * len(loaded.loader(split).places)) as advance:
        result = activity_run(loaded, split=split, draws=draws, places=places, progress=advance)
    values = activity_json(result)
    told = opening.told(values, activity_rows(result), as_json=json, as_csv=csv)
    if told:
        _show(result)
    stem = stem_of("activity", split)
    kept = RunDirectory(run).keep(stem, values)
    save_activity(result, kept.with_suffix(".png"))
    written = [str(kept), ".png"]
    if result.spread:
        save_gamma(result, run / "gamma.png")
        written.append("gamma.png")
    if places:
        write_whole(run / f"{stem}-places.npz", places_file(result))
        written.append(f"{stem}-places.npz")
    if told:
        console.line(f"written: {', '.join(written)}")


def _show(result: ActivityResult) -> None:
    from bntt.cli import console

    total, gamma, steps = result.counted.total, result.gamma, len(next(iter(result.counted.total.spikes.values())))
    console.line(f"{total.spikes_per_sample():,.0f} spikes an image in all layers and steps, {result.split}")

    def peak(step: int | None) -> str:
        return "-" if step is None else str(step + 1)

    heads = ("layer", "neurons", "spikes per neuron", "most at step", "γ largest at step")
    rows = [
        (
            name,
            f"{total.neurons[name]:,}",
            f"{total.spike_rate(name):.3f}",
            peak(result.peaks.get(name)),
            peak(gamma.peak(name)) if name in gamma.magnitude else "",
        )
        for name in total.spikes
    ]
    console.columns("layers", heads, rows)
    rates = {name: [f"{share:.1%}" for share in total.rate(name).tolist()] for name in total.spikes}
    console.table("firing rate at step (spikes per neuron)", steps, rates)
    if gamma.magnitude:
        console.gamma(gamma, steps)
        for title, of in (("γ", "gamma"), ("σ̄", "deviation")):
            changes = {
                name: [console.number(value, ".0%") for value in getattr(alike, of).tolist()] + [""]
                for name, alike in result.likeness.items()
            }
            console.table(f"how much {title} changes from step to the next, mean over channels", steps, changes)
    for finding in result.findings:
        console.line(finding.text)
