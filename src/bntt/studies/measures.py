"""Measurements requested by a study: which one, and with which arguments.

A result is kept in the run directory as ``measures/<name>-<digest of the arguments>.json``, with the version of the
code and the epoch and updates of the measured weights. What a command wrote into the run directory counts as well, if
its record states the same arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any

from bntt.analysis.measurement import ArgumentError, Facts, Measurement
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Metric, Result, at_path, checked_arguments, result_from
from bntt.io.files import digest_of_values
from bntt.runs.measure import get_measurement

Values = Mapping[str, Any]
EVALUATE = "evaluate"
"""Measurement that ends every training, so that no study asks for it."""


def _translate_attack(row: dict[str, Any]) -> dict[str, Any]:
    """Translate a study's attack: integer bounds in a list are in units of 1/255; anything else is refused later."""
    row = {"attack" if key == "attacks" else key: value for key, value in row.items()}
    if isinstance(row["eps"], list):
        row["eps"] = [f"{eps}/255" if isinstance(eps, int) else eps for eps in row["eps"]]
    return row


def _translate_retiming(row: dict[str, Any]) -> dict[str, Any]:
    row = {"num_steps" if key == "steps" else key: value for key, value in row.items()}
    return row | {"longer": row.get("longer") or None}


KINDS: dict[str, Values] = {
    "retiming": {},
    "robust": {"sigmas": [0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0], "images": 1000, "draws": 3},
    "attack": {"eps": [2, 4, 8], "attacks": ["fgsm"], "images": 500, "eot": 16},
    "stability": {"rates": [0.03, 0.3, 3.0], "starts": 1},
}
"""Usual arguments of kinds that have their own; others are called as on the command line, with its defaults."""
TRANSLATE = {"retiming": _translate_retiming, "attack": _translate_attack}
"""Functions that put a study's terms into those of the command line."""
RETIMING = "retiming"
"""Kind of an evaluation at another number of steps."""


@dataclass(frozen=True)
class Measure:
    """Measurement with one set of arguments."""

    kind: str
    """Name of the measurement in a study."""
    measurement: Measurement
    arguments: Any

    @property
    def needs(self) -> str:
        """Return "run" if it needs a trained run, or "recipe" if it trains one by itself."""
        return self.measurement.opens

    @property
    def digest(self) -> str:
        """Return a digest of name and arguments."""
        return digest_of_values([self.measurement.name, asdict(self.arguments)])[:12]

    @property
    def file(self) -> str:
        """Return the file in which a study keeps it, below the run directory."""
        return f"measures/{self.kind}-{self.digest}.json"

    @property
    def written(self) -> str:
        """Return the file that the command writes."""
        return f"{self.measurement.stem(self.arguments)}.json"

    def takes(self, facts: Facts) -> bool:
        """Return True if a network with these facts has the numbers."""
        if self.kind == RETIMING and self.arguments.num_steps is not None and facts.is_ann:  # it has one step
            return False
        return not self.measurement.refusal(facts, self.arguments)

    def for_run(self, facts: Facts) -> Any:
        """Return the arguments for one run: only its norm in a grid of norms; the usual draws if nothing is random."""
        if self.needs == "recipe":
            return replace(self.arguments, norms=(facts.norm,))
        if facts.is_random or self.measurement.draws_noise:
            return self.arguments
        once = {field.name: field.default for field in fields(self.arguments) if field.name == "draws"}
        return replace(self.arguments, **once, **({"eot": None} if hasattr(self.arguments, "eot") else {}))

    def matches(self, arguments: Values, facts: Facts) -> bool:
        """Return True if kept arguments equal these: those of a record or, with their kind, those of a study."""
        try:
            if "kind" in arguments:
                return measure_from(self.kind, {k: v for k, v in arguments.items() if k != "kind"}) == self
            return checked_arguments(self.measurement.arguments, arguments) in (self.arguments, self.for_run(facts))
        except ArgumentError:
            return False

    def read(self, values: Any) -> Result:
        """Read the record of the results."""
        return result_from(self.measurement.record_in(self.measurement.stem(self.arguments)), values)


def measure_from(kind: str, row: Values) -> Measure:
    """Make a measure from a table of a study."""
    measurement = get_measurement(EVALUATE if kind == RETIMING else kind)
    words = {**KINDS.get(kind, {}), **row}
    asked = checked_arguments(measurement.arguments, TRANSLATE.get(kind, dict)(words))
    if getattr(asked, "exit", False):
        raise ArgumentError(
            "exit: another exit may be chosen later, and kept numbers would not tell; accuracy at the exit is "
            "`exit-accuracy` of the kind 'exit'"
        )
    return Measure(kind, measurement, asked)


def named_metrics() -> Mapping[str, tuple[str, Metric]]:
    """Return every named number, with the measurement that it is read from, by its name in studies."""
    return _metrics_of(tuple(MEASUREMENTS.values()))


@cache
def _metrics_of(measurements: tuple[Measurement, ...]) -> Mapping[str, tuple[str, Metric]]:
    return {
        name: (RETIMING if name == "retimed-accuracy" else measurement.name, metric)
        for measurement in measurements
        for name, metric in measurement.record.metrics().items()
    }


def is_metric(name: str) -> bool:
    """Return True if a number of this name exists."""
    kind, _, path = name.partition(".")
    return name in named_metrics() or bool(path and kind in (*MEASUREMENTS, *KINDS))


def metric_of(name: str) -> tuple[str, Metric]:
    """Find a number and its measurement, by name or by measurement and path: ``activity.layers.conv1.peak_step``."""
    if found := named_metrics().get(name):
        return found
    kind, _, path = name.partition(".")
    return kind, Metric(name, "", lambda found, at: at_path(found.to_json(), path), digits=3)
