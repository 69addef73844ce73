"""Every measurement by name: the built-in ones, and those that users register."""

from __future__ import annotations

from bntt.analysis.accuracy import EVALUATE
from bntt.analysis.activity import ACTIVITY
from bntt.analysis.attack import ATTACK
from bntt.analysis.card import CARD
from bntt.analysis.drift import DRIFT
from bntt.analysis.energy import ENERGY
from bntt.analysis.equivalence import EQUIVALENCE
from bntt.analysis.exit import EXIT
from bntt.analysis.measurement import Measurement
from bntt.analysis.neuron import NEURON
from bntt.analysis.robustness import ROBUST

MEASUREMENTS: dict[str, Measurement] = {
    one.name: one for one in (EVALUATE, ACTIVITY, EXIT, ENERGY, ROBUST, ATTACK, DRIFT, EQUIVALENCE, NEURON, CARD)
}
"""Measurements in the order in which a report shows them."""


def register(measurement: Measurement) -> Measurement:
    """Add a measurement, of a new name: it becomes a command, a section of reports and a measure of studies."""
    if MEASUREMENTS.setdefault(measurement.name, measurement) is not measurement:
        raise ValueError(f"there is a measurement {measurement.name!r} already: give this one another name")
    return measurement
