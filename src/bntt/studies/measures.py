"""Measurements as a study asks for them: which one, and with which arguments.

What was found is kept beside the run as ``measures/<name>-<digest of the arguments>.json``, with the code that found it
and the evaluation of the weights that it is of; what a verb wrote into the run directory counts as well, where its
record says that it was asked in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any

from bntt.analysis.measurement import ArgumentError, Facts, Measurement
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric, Result, at_path, checked_arguments, result_from
from bntt.io.files import digest_of_values
from bntt.runs.measure import measurement_of

Values = Mapping[str, Any]
EVALUATE = "evaluate"
"""Every training ends with it, so that no study asks for it."""


@dataclass(frozen=True)
class Kind:
    """A measurement under a study's name, where its words or usual arguments are not those of the command line."""

    measurement: str
    usual: Values = field(default_factory=dict)
    translate: Callable[[dict[str, Any]], dict[str, Any]] = lambda row: row


def _bounds(row: dict[str, Any]) -> dict[str, Any]:
    """An attack's bounds are whole numbers, of 255."""
    row = {"attack" if key == "attacks" else key: value for key, value in row.items()}
    return row | {"eps": [f"{eps}/255" if isinstance(eps, int) else eps for eps in row["eps"]]}


def _steps(row: dict[str, Any]) -> dict[str, Any]:
    row = {"num_steps" if key == "steps" else key: value for key, value in row.items()}
    return row | {"longer": row.get("longer") or None}


KINDS: dict[str, Kind] = {
    "retiming": Kind("evaluate", {}, _steps),
    "robust": Kind("robust", {"sigmas": [0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0], "images": 1000, "draws": 3}),
    "attack": Kind("attack", {"eps": [2, 4, 8], "attacks": ["fgsm"], "images": 500, "eot": 16}, _bounds),
    "stability": Kind("stability", {"rates": [0.03, 0.3, 3.0], "starts": 1}),
}
"""Measurements that are not here are called as on the command line, and asked as they are by default."""


@dataclass(frozen=True)
class Measure:
    """One measurement, asked for in one way."""

    kind: str
    """The study's name for it."""
    measurement: Measurement
    arguments: Any

    @property
    def needs(self) -> str:
        """A trained "run", or the "recipe" that it trains by itself."""
        return self.measurement.opens

    @property
    def digest(self) -> str:
        """A digest of name and arguments."""
        return digest_of_values([self.measurement.name, asdict(self.arguments)])[:12]

    @property
    def file(self) -> str:
        """The file in which a study keeps it, below the run directory."""
        return f"measures/{self.kind}-{self.digest}.json"

    @property
    def written(self) -> str:
        """The file that the verb writes."""
        return f"{self.measurement.stem(self.arguments)}.json"

    def takes(self, facts: Facts) -> bool:
        """Say whether such a network has these numbers."""
        return not self.measurement.refusal(facts, self.arguments)

    def for_run(self, facts: Facts) -> Any:
        """Give the arguments for one run: its norm is the whole grid; where nothing is random, nothing is drawn."""
        if self.needs == "recipe":
            return replace(self.arguments, norms=(facts.norm,))
        return (
            self.arguments
            if facts.is_random or not hasattr(self.arguments, "eot")
            else replace(self.arguments, eot=None)
        )

    def was_asked(self, arguments: Values, facts: Facts) -> bool:
        """Say whether kept arguments are these: those of a record, or, with their kind, in the words of a study."""
        try:
            if "kind" in arguments:
                return measure_from(self.kind, {k: v for k, v in arguments.items() if k != "kind"}) == self
            return checked_arguments(self.measurement.arguments, arguments) in (self.arguments, self.for_run(facts))
        except ArgumentError:
            return False

    def read(self, values: Any) -> Result:
        """Read the record of what was found.

        Raises:
            ValueError: if this is none.
        """
        return result_from(self.measurement.record_in(self.measurement.stem(self.arguments)), values)


def measure_from(kind: str, row: Values) -> Measure:
    """Make a measure from a table of a study.

    Raises:
        ArgumentError: if there is no such measurement, or it cannot be asked so.
    """
    known = KINDS.get(kind, Kind(kind))
    measurement = measurement_of(known.measurement)
    asked = checked_arguments(measurement.arguments, known.translate(dict(known.usual) | dict(row)))
    return Measure(kind, measurement, asked)


def agree(values: Values, evaluation: Values, **keys: str) -> bool:
    """Say whether numbers agree with an evaluation on what they are of, wherever both say something.

    Args:
        keys: what the evaluation calls a thing, by what the numbers call it; images and epoch by default.

    >>> agree({"images": 10}, {"images": 10000}), agree({"images": 10}, {}), agree({"n": 8}, {"steps": 8}, n="steps")
    (False, True, True)
    """
    pairs = [(values.get(one), evaluation.get(other)) for one, other in (keys or SAME).items()]
    return all(one == other for one, other in pairs if None not in (one, other))


SAME = {"images": "images", "epoch": "epoch"}


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
