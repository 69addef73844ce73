"""``bntt drift``: what enters the normalised layers, against the statistics that they hold."""

from __future__ import annotations

from pathlib import Path

import tyro

from bntt.cli.opening import Split


def drift(
    run: tyro.conf.Positional[Path],
    layer: str | None = None,
    split: Split = "validation",
    images: int = 500,
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Tell how far the input of every normalised layer is from the statistics that the layer holds for each step.

    Distances of the means in held deviations, of every image of the split; and the distribution in one layer. Writes
    drift.json and drift.png into the run directory.

    Example: bntt drift runs/fashion-mnist --layer conv4

    Args:
        run: the run directory.
        layer: whose distribution is drawn; the middle normalised one by default.
        split: which images.
        images: for that distribution, at most.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print a line for each layer and step as CSV instead.
    """
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.drift_figure import save_drift
    from bntt.runs.measures.drift import drift_json, drift_rows, drift_run, images_in_all

    loaded = opening.opened(run, device, as_json=json, as_csv=csv)
    with console.progress("measuring", images_in_all(loaded, split, images)) as advance:
        result = drift_run(loaded, layer=layer, split=split, images=images, progress=advance)
    if shown := opening.told(drift_json(result), drift_rows(result), as_json=json, as_csv=csv):
        tables = {
            "distance of the input's mean from the held one, in held deviations, at step": "distance",
            "the same, if one pair of statistics served all steps": "if_shared",
            "deviation of the input over the held one": "ratio",
            "divergence of the input from what is held (nats)": "divergence",
        }
        for title, field in tables.items():
            rows = {name: getattr(found, field).tolist() for name, found in result.layers.items()}
            console.numbers(title, len(next(iter(rows.values()))), rows)
    stem = stem_of("drift", split, "validation")
    RunDirectory(run).keep(stem, drift_json(result))
    save_drift(result, run / f"{stem}.png")
    if shown:
        console.line(f"written: {run / stem}.json and .png")
