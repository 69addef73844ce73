"""Pictures of neurons and their norms: a membrane over time, the surrogate gradient, γ by channel."""

from __future__ import annotations

import torch

from bntt.charts.records import STEPS, Axis, Chart, Histogram, Level, Line, Lines
from bntt.models.spiking import surrogate_of
from bntt.studies.numbers import measured_runs
from bntt.studies.study_result import StudyResult
from bntt.studies.study_schema import FigureSpec, GammaHistograms


def membrane(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart one neuron's potential, membrane and spikes, of the first start of the first run."""
    runs = measured_runs(result, part)
    if not runs:
        return []
    values = next(iter(runs.values()))[0]
    rows = values["steps"]
    steps = [row["step"] for row in rows]
    lines = [
        Line("potential", steps, [row["potential"] for row in rows], "potential", dashed=True),
        Line("membrane after the step", steps, [row["membrane"] for row in rows], "membrane"),
    ]
    fired = [row["step"] for row in rows if row["spike"]]
    spikes = [Level(step, "" if i else "spike", "x") for i, step in enumerate(fired)]
    title = f"{values['layer']}, neuron {', '.join(map(str, values['place']))}"
    return [Lines(title, STEPS, Axis("membrane potential"), lines, [Level(values["threshold"], "threshold"), *spikes])]


def gamma_histograms(result: StudyResult, part: GammaHistograms) -> list[Chart]:
    """Chart the share of channels by γ, one chart per layer, one series per step."""
    values = next(iter(measured_runs(result, part).values()), [{}])[0]
    charts = list[Chart]()
    for name in part.layers:
        found = values.get("layers", {}).get(name, {}).get("gamma_histogram")
        if found is None:
            continue
        rows = {f"step {step}": found["counts"][step - 1] for step in part.steps if step <= len(found["counts"])}
        shares = {step: [n / sum(row) for n in row] for step, row in rows.items()}
        y = Axis("channels", percent=True, low=0)
        charts.append(Histogram(name, Axis("γ"), y, found["edges"], shares, "of the first start"))
    return charts


def surrogate(result: StudyResult, part: FigureSpec) -> list[Chart]:
    """Chart the surrogate gradient against u/θ, of every run's recipe, each function once."""
    along, lines = [i / 50 for i in range(-50, 151)], dict[tuple[float, ...], Line]()
    for run in result.runs:
        if run.starts and (not part.runs or run.name in part.runs):
            values = surrogate_of(run.starts[0].recipe.network)(torch.tensor(along) - 1).tolist()
            lines.setdefault(tuple(values), Line(run.label, along, values))
    x, y = Axis("potential u over threshold θ"), Axis("do/du", low=0)
    return [Lines("", x, y, [*lines.values()], [Level(1.0, "threshold", "x")])] if lines else []
