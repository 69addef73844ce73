"""The numbers that a study's tables and claims are about: those that records name, and any other by its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bntt.analysis.measurement import Measurement
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric, at_path
from bntt.studies.measures import KINDS

RETIMED = {"retimed-accuracy"}
"""Numbers of an evaluation at another number of steps, which studies call a measurement of its own."""


@dataclass(frozen=True)
class StudyMetric:
    """One number of one start."""

    kind: str
    """The measurement that it is read from, by the name that studies have for it."""
    metric: Metric


def named_metrics() -> Mapping[str, StudyMetric]:
    """Every number that has a name."""
    return _metrics_of(tuple(MEASUREMENTS.values()))


@cache
def _metrics_of(measurements: tuple[Measurement, ...]) -> Mapping[str, StudyMetric]:
    return {
        name: StudyMetric("retiming" if name in RETIMED else measurement.name, metric)
        for measurement in measurements
        for name, metric in measurement.metrics().items()
    }


def is_metric(name: str) -> bool:
    """Say whether there is such a number."""
    kind, _, path = name.partition(".")
    return name in named_metrics() or bool(path and kind in (*MEASUREMENTS, *KINDS))


def metric_of(name: str) -> StudyMetric:
    """Find a number by its name, or by measurement and path, ``activity.layers.conv1.peak_step``.

    >>> metric_of("drift").kind, metric_of("drift.images").metric.title
    ('drift', 'drift.images')
    """
    if found := named_metrics().get(name):
        return found
    kind, _, path = name.partition(".")
    return StudyMetric(kind, Metric(name, "", lambda found, at: at_path(found.to_json(), path), digits=3))
