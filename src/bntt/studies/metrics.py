"""The numbers that a study's tables and claims are about: those that records name, and any other by its path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric, Result, at_path, result_from
from bntt.studies.measures import KINDS, Kind

RETIMED = {"retimed-accuracy"}
"""Numbers of an evaluation at another number of steps, which studies call a measurement of its own."""


@dataclass(frozen=True)
class StudyMetric:
    """One number of one start."""

    kind: str
    """What studies call the measurement that it is read from."""
    metric: Metric

    def record(self, values: Any) -> Result:
        """What was found, as the record that it is read from.

        Raises:
            ValueError: if this is none.
        """
        return result_from(MEASUREMENTS[KINDS.get(self.kind, Kind(self.kind)).measurement].result(), values)


@cache
def named() -> dict[str, StudyMetric]:
    """Every number that has a name."""
    return {
        name: StudyMetric("retiming" if name in RETIMED else kind, metric)
        for kind, measurement in MEASUREMENTS.items()
        for name, metric in measurement.result().METRICS.items()
    }


def is_metric(name: str) -> bool:
    """Whether there is such a number."""
    kind, _, path = name.partition(".")
    return name in named() or bool(path and kind in MEASUREMENTS)


def metric_of(name: str) -> StudyMetric:
    """A number by its name, or by measurement and path, ``activity.layers.conv1.peak_step``.

    >>> metric_of("drift").kind, metric_of("drift.images").metric.title
    ('drift', 'drift.images')
    """
    if name in named():
        return named()[name]
    kind, _, path = name.partition(".")
    return StudyMetric(kind, Metric(name, "", lambda found, at: at_path(found.to_json(), path), digits=3))
