"""Named numbers, and numbers by their paths, of files that were kept."""

import pytest

from bntt.studies.measures import measure_from
from bntt.studies.metrics import is_metric, metric_of, named_metrics
from tests.studies.found import written

NUMBERS = {
    "accuracy": 87.528, ("accuracy-after", 8.0): 87.528, "steps": 8, "spikes": 6380.66924, "updates": 4220,
    "exit-steps": 7, "exit-accuracy": 54.09, "exit-lost": 0.03, "exit-saved": 12.5,
    "exit-threshold": 0.22629590332508087, "truncation-steps": 7,
    "gamma-later": 0.9819805060619657, "gamma-peak": 5, "gamma-rises-falls": 100,
    "spikes-later": 0.9697815168769667, "spikes-peak": 6, "spikes-rise-fall": 100, "last-step": 6.112155032844465,
    "energy": 2.27823184237, "ann-energy": 5.3209664, "ann-over-snn": 2.335568444370746,
    "drift": 0.07567998990605809, "largest-drift": 0.14386307306191187, "drift-if-shared": 0.23472442141839642,
    "exact-agreement": 100, "eq15-accuracy": 10, "eq15-agreement": 10.1, "full-accuracy": 53.5,
    ("noisy-accuracy", 0.4): 49.166666666666664, ("noise-loss", 0.4): 38.7,
    ("fgsm-accuracy", 8.0): 72.52, ("pgd-accuracy", 8.0): None,
    "retimed-accuracy": 87.528,
    "failed-starts": 37.03703703703704, "reached-accuracy": 20.951851851851853,
    ("gradient-change", 0.3): 42.5700656833851,
    "spiking-steps": 1,
    "exit.by_reading.magnitude.steps": 7, "activity.layers.conv1.neurons": 16384,
    "activity.layers.conv9.neurons": None,
    "retiming.accuracy_over_time.7": 0.87528,
}  # fmt: skip
"""Of the kept files, at a place where a number has one; those of before records were read are the same."""
USUAL = {"retiming": {"steps": 4}}


@pytest.mark.parametrize("name", NUMBERS, ids=str)
def test_numbers_of_kept_files(name):
    name, at = name if isinstance(name, tuple) else (name, None)
    found = metric_of(name)
    record = measure_from(found.kind, USUAL.get(found.kind, {})).read(written(found.kind))
    expected = NUMBERS[name if at is None else (name, at)]
    assert found.metric.read(record, at) == (None if expected is None else pytest.approx(expected, rel=1e-12))
    assert found.metric.placed == (at is not None)


def test_every_name_has_its_number():
    plain = {name if isinstance(name, str) else name[0] for name in NUMBERS}
    assert named_metrics().keys() == {name for name in plain if "." not in name}


@pytest.mark.parametrize(
    ("name", "known"),
    [("drift", True), ("drift.images", True), ("drift.", False), ("drifts", False), ("os.system", False)],
)
def test_a_number_is_named_or_a_path_of_a_measurement(name, known):
    assert is_metric(name) == known
