"""What a measured run shows at a glance, as a figure."""

from __future__ import annotations

from bntt.charts.records import STEPS, Axis, Chart, Figure, Line, Lines, over_steps
from bntt.runs.measures.evaluate import RunResult


def overview(result: RunResult) -> Figure:
    """Accuracy, mean |γ| and firing rates over time, side by side."""
    accuracy, activity = result.evaluation.accuracy, result.evaluation.activity
    steps = len(accuracy.over_time)
    draws = [[hits / accuracy.samples for hits in draw] for draw in zip(*accuracy.correct, strict=True)]
    spread = "" if accuracy.spread is None else f" ± {accuracy.spread:.1%}"
    several = len(accuracy.correct) > 1
    band = ([min(draw) for draw in draws], [max(draw) for draw in draws]) if several else ((), ())
    charts: list[Chart] = [
        Lines(
            f"{accuracy.mean:.1%}{spread} after all steps",
            STEPS,
            Axis("accuracy when stopped after this step", percent=True, low=0, high=1),
            [Line("mean", range(1, steps + 1), accuracy.over_time, "mean", *band)],
            note="band: from the lowest draw to the highest" if several else "",
        )
    ]
    gamma = {name: row.tolist()[:steps] for name, row in result.gamma.magnitude.items()}
    rates = {name: activity.rate(name).tolist() for name in activity.spikes}
    if gamma:
        charts.append(Lines("γ over time", STEPS, Axis("mean |γ| over channels", low=0), over_steps(gamma)))
    if rates:
        axis = Axis("firing rate", percent=True, low=0)
        charts.append(Lines("Firing rate over time", STEPS, axis, over_steps(rates)))
    seen = f"{accuracy.samples:,} images, {len(accuracy.correct)} draws" if several else f"{accuracy.samples:,} images"
    return Figure(f"{result.dataset}, {result.split}: {seen}", charts)
