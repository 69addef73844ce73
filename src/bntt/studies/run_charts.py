"""Charts of a study that compare runs by single numbers: means with their starts, points, shares."""

from __future__ import annotations

from statistics import mean

from bntt.charts.records import Axis, Bar, Bars, Chart, Entry, Forest, Line, Lines
from bntt.studies.metrics import metric_of
from bntt.studies.numbers import column_of, line_over_starts, measured_runs, styles_of
from bntt.studies.pictures import Bars as BarsPart
from bntt.studies.pictures import FigurePart, Scatter
from bntt.studies.study_result import StudyResult

SHARE = Axis("validation accuracy", percent=True, low=0, high=1)


def means(result: StudyResult, part: BarsPart) -> list[Chart]:
    """The mean of a column for every run, and every start as a point."""
    rows, styles = column_of(result, part, part.column), styles_of(result)
    entries = [
        Entry(label, mean(row.values()), points=tuple(row.values()), colour=styles[label].colour)
        for label, row in rows.items()
    ]
    axis = _axis(result, part.column, logarithmic=part.logarithmic)
    return [Forest("", axis, entries, note="diamonds: means; circles: single starts")] if entries else []


def scatter(result: StudyResult, part: Scatter) -> list[Chart]:
    """Two columns against each other, a point a start."""
    along, up, styles = column_of(result, part, part.x), column_of(result, part, part.y), styles_of(result)
    lines = []
    for label in (label for label in along if label in up):
        seeds = sorted(along[label].keys() & up[label].keys())
        x, y = ([column[label][seed] for seed in seeds] for column in (along, up))
        lines.append(Line(label, x, y, styles[label].colour, joined=False))
    axes = _axis(result, part.x, logarithmic=part.logarithmic), _axis(result, part.y)
    return [Lines("", *axes, lines, note="a mark a start")] if lines else []


def layer_spikes(result: StudyResult, part: FigurePart) -> list[Chart]:
    """Spikes of every layer in all steps, on a logarithmic axis."""
    runs, styles, lines, names = measured_runs(result, part), styles_of(result), [], list[str]()
    for label, starts in runs.items():
        names = list(starts[0]["layers"])
        rows = [
            [sum(row["spikes_per_image"] for row in values["steps"] if row["layer"] == name) for name in names]
            for values in starts
        ]
        lines.append(line_over_starts(label, range(1, len(names) + 1), rows, styles[label]))
    note = "layers: " + ", ".join(f"{i} {name}" for i, name in enumerate(names, start=1))
    y = Axis("spikes an image, all steps", scale="log")
    return [Lines("", Axis("layer", whole=True), y, lines, note=note)] if lines else []


def folds(result: StudyResult, part: FigurePart) -> list[Chart]:
    """Accuracy of the network, and of each that it folds to: the mean, and every start as a point."""
    runs = measured_runs(result, part)
    if not runs:
        return []
    bars = []
    for name in ("the network", *next(iter(runs.values()))[0]["folds"]):
        points = [
            [v["accuracy"] if name == "the network" else v["folds"][name]["accuracy"] for v in starts]
            for starts in runs.values()
        ]
        bars.append(Bar(name, [mean(row) for row in points], points=points))
    return [Bars("", SHARE, list(runs), bars, note="circles: single starts")]


def failures(result: StudyResult, part: FigurePart) -> list[Chart]:
    """The share of starts that failed, by learning rate, a chart a network."""
    runs, styles = measured_runs(result, part), styles_of(result)
    shares = [(label, row) for label, starts in runs.items() for values in starts for row in values["shares"]]
    charts = list[Chart]()
    for network in dict.fromkeys(row["network"] for _, row in shares):
        lines = []
        for label in runs:
            mine = [row for of, row in shares if of == label and row["network"] == network]
            rates = sorted({row["rate"] for row in mine})
            failed = [
                sum(row["failed"] for row in mine if row["rate"] == rate)
                / sum(row["starts"] for row in mine if row["rate"] == rate)
                for rate in rates
            ]
            lines.append(Line(label, rates, failed, styles[label].colour, dashed=styles[label].dashed))
        x, y = Axis("learning rate", scale="log"), Axis("starts that failed", percent=True, low=0, high=1)
        charts.append(Lines(network, x, y, lines))
    return charts


def _axis(result: StudyResult, key: str, *, logarithmic: bool = False) -> Axis:
    column = next(column for column in result.study.table if column.key == key)
    metric = metric_of(column.metric).metric
    label = f"{column.title or metric.title}{f' ({metric.unit})' if metric.unit else ''}"
    return Axis(label, scale="log" if logarithmic else "linear", high=100 if metric.unit == "%" else None)
