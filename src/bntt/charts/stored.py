"""Charts as JSON values, so that a page can draw a study's charts in its own colours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bntt.charts.records import Bars, Chart, Forest, HeatMap, Histogram, Lines

KINDS: dict[str, type[Chart]] = {
    "lines": Lines,
    "bars": Bars,
    "forest": Forest,
    "heat-map": HeatMap,
    "histogram": Histogram,
}
"""Kinds of charts that can be stored, by their name in JSON."""


def stored(chart: Chart) -> dict[str, Any]:
    """Return a chart as JSON values.

    >>> from bntt.charts.records import STEPS, Axis, Line
    >>> values = stored(Lines("γ", STEPS, Axis("γ"), [Line("conv1", range(1, 3), [0.5, 0.25])]))
    >>> values["kind"], values["lines"][0]["x"], chart_from(values).lines[0].y
    ('lines', [1, 2], [0.5, 0.25])
    """
    kind = next(name for name, made in KINDS.items() if isinstance(chart, made))
    return {"kind": kind, **json.loads(json.dumps(asdict(chart), default=list))}


def chart_from(values: Any) -> Chart:
    """Read a chart from JSON values, and make sure that its numbers fit together.

    Raises:
        ValueError: if they are not a chart: an unknown kind, a missing part, or parts of unequal length.
    """
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"no chart: its kind is {kind!r}, not one of {', '.join(KINDS)}")
    try:
        chart: Chart = _reader(kind).validate_python({key: value for key, value in values.items() if key != "kind"})
    except (ValidationError, ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"no chart of kind {kind!r}: {str(error).splitlines()[0]}") from None
    return chart


@cache
def _reader(kind: str) -> Any:
    return TypeAdapter(KINDS[kind])
