"""Reports of the benchmarks as figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bntt.charts.records import Axis, Bar, Bars, Chart, Entry, Figure, Forest, Level, Line, Lines

SWEEP = "VGG9 training, T="
"""Prefix of the names of cases that differ only in T."""
MOST_BARS = 8
"""Most cases side by side; if there are more, every network has its own row."""
TIME, MEMORY = ("median", 1.0, "seconds a step"), ("peak_over_base", 2.0**-20, "peak memory over base (MiB)")
Cases = Sequence[Mapping[str, Any]]
Measure = tuple[str, float, str]
"""The key of a measure, its unit, and its name."""


def speed_figure(report: Mapping[str, Any]) -> Figure:
    """Draw time and memory of every case, and against T where several were timed, from a benchmark's report."""
    cases = report["cases"]
    sweep = [row for row in cases if row["case"]["name"].startswith(SWEEP)]
    single = [row for row in cases if row not in sweep]
    groups = [single] if single else []
    if len(single) > MOST_BARS:
        networks = dict.fromkeys(row["case"]["network"] for row in single)
        groups = [[row for row in single if row["case"]["network"] == network] for network in networks]
    charts: list[Chart] = [chart for group in groups for chart in (_times(group), _bars(group, MEMORY))]
    charts += [_against_steps(sweep, measure) for measure in (TIME, MEMORY)] if sweep else []
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    return Figure(f"{report['threads']} threads; {versions}", charts, columns=1 if len(charts) == 2 else 2)


def _variants(rows: Cases) -> list[str]:
    return list(dict.fromkeys(timing["variant"] for row in rows for timing in row["timings"]))


def _value(row: Mapping[str, Any], variant: str, measure: Measure) -> float | None:
    key, unit, _ = measure
    return next((timing[key] * unit for timing in row["timings"] if timing["variant"] == variant), None)


def _named(rows: Cases) -> tuple[str, list[str]]:
    """Return the common prefix of the names of all cases, and the rest of each."""
    names = [row["case"]["name"] for row in rows]
    shared = {name.rpartition(", ")[0] for name in names} if len(names) > 1 else set()
    whole = shared.pop() if len(shared) == 1 else ""
    return whole, [name.removeprefix(f"{whole}, ") for name in names]


def _times(rows: Cases) -> Chart:
    """Draw bars, or marks on a logarithmic axis if the slowest would flatten all others."""
    title, names = _named(rows)
    every = [
        (name, variant, value)
        for name, row in zip(names, rows, strict=True)
        for variant in _variants(rows)
        if (value := _value(row, variant, TIME)) is not None
    ]
    if max(value for *_, value in every) <= 10 * min(value for *_, value in every):
        return _bars(rows, TIME)
    entries = [Entry(f"{name}, {variant}", value, colour=variant) for name, variant, value in every]
    return Forest(title, Axis(TIME[2], scale="log"), entries)


def _bars(rows: Cases, measure: Measure) -> Bars:
    title, names = _named(rows)
    bars = [Bar(variant, [_value(row, variant, measure) for row in rows]) for variant in _variants(rows)]
    return Bars(title, Axis(measure[2]), names, bars)


def _against_steps(rows: Cases, measure: Measure) -> Lines:
    steps = [row["case"]["num_steps"] for row in rows]
    lines = [Line(name, steps, [_value(row, name, measure) for row in rows], name) for name in _variants(rows)]
    return Lines("VGG9 training", Axis("time steps T", whole=True, low=0), Axis(measure[2]), lines)


def accuracy_figure(report: Mapping[str, Any]) -> Figure:
    """Draw accuracy on held-out images against minutes of training, one line per start."""
    charts: list[Chart] = []
    for case in report["cases"]:
        setting = case["race"]
        lines = [
            Line(
                f"{one['variant']}, seed {one['seed']}",
                [point["seconds"] / 60 for point in one["points"]],
                [point["accuracy"] for point in one["points"]],
                one["variant"],
            )
            for one in case["trainings"]
        ]
        target = Level(setting["target"], f"{setting['target']:.0%}")
        lowest = min((value for line in lines for value in line.y if value is not None), default=0.0)
        accuracy = Axis("accuracy on held-out images", percent=True, low=math.floor(10 * lowest) / 10)
        charts.append(Lines(setting["name"], Axis("minutes of training", low=0), accuracy, lines, levels=[target]))
    return Figure(f"{report['threads']} threads", charts, columns=1)
