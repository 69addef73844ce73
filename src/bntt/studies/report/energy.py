"""Operations and what they cost, from ``energy*.json``."""

from __future__ import annotations

from collections.abc import Sequence

from bntt.charts.records import Axis, Bar, Bars, is_empty
from bntt.studies.report.blocks import Cell, Section, Table, count, gap, number, plural
from bntt.studies.report.reading import Values

KEYS = ("spikes", "additions_by_spike", "macs_by_spike", "additions_by_value", "macs_by_value", "ann_macs")
COLUMNS = ("layer", "spikes", "additions by spike", "MACs by spike", "additions by value", "MACs by value", "ANN MACs")


def energy(values: Values) -> Section:
    """Operations of every layer beside those of an ANN of the same plan, and energies by every table of costs.

    Raises:
        GapError: if the file does not say them.
    """
    layers = values.rows("layers")
    stops = [round(stop) for stop in values.numbers("steps") if stop is not None]
    images = plural(values.whole("images"), f"{values.said('split', 'test')} image")
    spoken = f"{images}, {plural(round(values.maybe('draws') or 1), 'draw')}, one start"
    tables = [_operations(layers, stop, spoken) for stop in stops[:5]]
    words = [values.said("note").capitalize()] if "note" in values else []
    if "left_out" in values:
        words.append(f"Left out: {'; '.join(values.texts('left_out'))}.")
    first = [row for row in layers if stops and row.maybe("steps") == stops[0]]
    return Section(
        "Operations and energy",
        words=tuple(words),
        tables=(*_costs(values, spoken),),
        charts=_charts(first, stops, spoken),
        folded=tuple(tables),
    )


def _operations(layers: Sequence[Values], stop: int, spoken: str) -> Table:
    some = [row for row in layers if row.maybe("steps") == stop]
    rows = [(Cell(row.text("layer")), *(count(row.maybe(key)) for key in KEYS)) for row in some]
    sums = [count(sum(row.maybe(key) or 0.0 for row in some)) for key in KEYS]
    rows.append((Cell("all layers"), *sums))
    return Table(f"Operations for one image after {plural(stop, 'step')}: {spoken}", COLUMNS, tuple(rows))


def _charts(layers: Sequence[Values], stops: Sequence[int], spoken: str) -> tuple[Bars, ...]:
    kinds = (
        ("by spike", ("additions_by_spike", "macs_by_spike")),
        ("by value", ("additions_by_value", "macs_by_value")),
        ("an ANN's MACs", ("ann_macs",)),
    )
    some = [row for row in layers if row.maybe("ann_macs")][:40]
    bars = tuple(Bar(name, [sum(row.maybe(key) or 0.0 for key in keys) for row in some]) for name, keys in kinds)
    names = tuple(row.text("layer") for row in some)
    after = f"after {plural(stops[0], 'step')}, {spoken}" if stops else spoken
    chart = Bars("Operations by layer", Axis("operations for one image"), names, bars, note=after)
    return () if is_empty(chart) else (chart,)


def _costs(values: Values, spoken: str) -> list[Table]:
    found = []
    rows = values.rows("energy")
    sources = values.inside("costs") if "costs" in values else Values({}, values.where)
    for name in dict.fromkeys(row.text("costs") for row in rows):
        some = [row for row in rows if row.text("costs") == name]
        unit = some[0].said("unit")
        scale, unit = readable(max((row.maybe("snn") or 0.0 for row in some), default=0.0), unit)
        columns = (
            "stop",
            "counts paid",
            f"network, {unit}",
            f"of it synaptic, {unit}",
            f"ANN, {unit}",
            "ANN / network",
        )
        source = sources.inside(name).said("source") if name in sources else ""
        found.append(
            Table(
                f"Energy of one image by {name}: {spoken}",
                columns,
                tuple(_cost(row, scale) for row in some),
                f"Costs: {source}." if source else "",
            )
        )
    return found


def _cost(row: Values, scale: float) -> tuple[Cell, ...]:
    ann = row.maybe("ann")

    def scaled(key: str) -> Cell:
        value = row.maybe(key)
        return number(None if value is None else scale * value, "#.4g")

    return (
        Cell(plural(row.whole("steps"), "step"), row.number("steps")),
        Cell(row.said("price", "either")),
        scaled("snn"),
        scaled("snn_synaptic"),
        gap("not available") if ann is None else scaled("ann"),
        gap("not available") if ann is None else number(row.maybe("ann_over_snn")),
    )


def readable(largest: float, unit: str) -> tuple[float, str]:
    """What to multiply picojoules by, so that few digits are read.

    >>> readable(7.8e6, "pJ"), readable(12.0, "normalised")
    ((1e-06, 'µJ'), (1.0, 'normalised'))
    """
    if unit == "pJ":
        for bound, scale, name in ((1e9, 1e-9, "mJ"), (1e6, 1e-6, "µJ"), (1e3, 1e-3, "nJ")):
            if largest >= bound:
                return scale, name
    return 1.0, unit
