"""Metrics against hand-made files of numbers."""

import json
from pathlib import Path

import pytest

from bntt.studies.measures import EVALUATE, MEASURES
from bntt.studies.metrics import METRICS, depth_correlation

KEPT = Path(__file__).parents[2] / "docs" / "results"
FILES = {
    "evaluate": "rival-bntt-0/evaluation.json",
    "exit": "cifar10-small-bntt/exit.json",
    "activity": "cifar10-small-bntt/activity.json",
    "energy": "rival-bntt-0/energy.json",
    "drift": "cifar10-small-bntt/drift.json",
    "equivalence": "cifar10-small-bntt/equivalence.json",
    "robust": "rivals-noise/robust.json",
    "attack": "rivals-attack-bntt/attack-fgsm.json",
    "stability": "stability/stability.json",
}
PLACES = {
    "accuracy-after": 8.0,
    "noisy-accuracy": 0.4,
    "noise-loss": 0.4,
    "fgsm-accuracy": 8.0,
    "pgd-accuracy": 8.0,
    "gradient-change": 0.3,
}


@pytest.mark.parametrize(
    "name", [name for name, one in METRICS.items() if one.kind in FILES and name != "pgd-accuracy"]
)
def test_every_metric_reads_what_the_verbs_write(name):
    values = json.loads((KEPT / FILES[METRICS[name].kind]).read_text(encoding="utf-8"))
    found = METRICS[name].read(values, PLACES.get(name))
    assert isinstance(found, float | int)
    assert METRICS[name].placed == (name in PLACES)


def test_kinds_are_those_of_measures():
    assert {one.kind for one in METRICS.values()} <= {*MEASURES, EVALUATE}


def read(name, values, at=None):
    return METRICS[name].read(values, at)


def test_numbers_by_hand():
    assert read("accuracy", {"accuracy": 0.905}) == pytest.approx(90.5)
    assert read("accuracy-after", {"accuracy_over_time": [0.1, 0.5]}, 2.0) == 50.0
    assert read("accuracy-after", {"accuracy_over_time": [0.1, 0.5]}, 3.0) is None
    assert read("exit-saved", {"steps": 5, "num_steps": 8}) == pytest.approx(37.5)
    shares = [{"failed": 1, "starts": 2}, {"failed": 0, "starts": 2}]
    assert read("failed-starts", {"shares": shares}) == 25.0
    cells = [{"accuracy": None, "chance": 0.1}, {"accuracy": 0.3, "chance": 0.1}]
    assert read("reached-accuracy", {"cells": cells}) == pytest.approx(20.0)
    along = {"steps": [0.15, 0.3, 0.6], "norm": 2.0, "change": [9.0, 1.0, 9.0]}
    moved = {"rate": 0.3, "moments": [{"along": along}, {"along": along | {"norm": 1.0}}]}
    assert read("gradient-change", {"cells": [moved, moved | {"rate": 3.0, "moments": []}]}, 0.3) == 75.0
    assert read("gradient-change", {"cells": [moved]}, 3.0) is None
    assert read("spiking-steps", {"steps": [{"spike": True}, {"spike": False}]}) == 1


def test_noise_and_attacks_are_read_at_their_place():
    rows = [{"sigma": 0.0, "accuracy": 0.9}, {"sigma": 0.4, "accuracy": 0.6}]
    noisy = {"runs": [{"rows": rows}]}
    assert read("noisy-accuracy", noisy, 0.4) == pytest.approx(60.0)
    assert read("noise-loss", noisy, 0.4) == pytest.approx(30.0)
    assert read("noise-loss", noisy, 0.5) is None
    attack = [
        {"attack": "fgsm", "eps_255": 8.0, "accuracy": 0.7, "invalid": ""},
        {"attack": "fgsm", "eps_255": 8.0, "accuracy": 0.6, "invalid": ""},
        {"attack": "fgsm", "eps_255": 8.0, "accuracy": 0.1, "invalid": "gradients are zero"},
    ]
    assert read("fgsm-accuracy", {"rows": attack}, 8.0) == pytest.approx(60.0), "the lowest that is valid"
    assert read("pgd-accuracy", {"rows": attack}, 8.0) is None


def layers(*peaks):
    return {"layers": {str(n): {"peak_step": peak} for n, peak in enumerate(peaks)}, "steps": [{"step": 8}]}


def test_peaks_rise_and_fall_where_they_are_inside():
    assert read("spikes-rise-fall", layers(1, 3, 8, 4)) == pytest.approx(200 / 3)
    assert read("spikes-rise-fall", layers(1)) is None
    assert read("spikes-peak", layers(1, 3, 5)) == 5.0
    assert read("spikes-peak", layers(1, 3, None)) == 3.0


def test_depth_correlation_is_spearmans():
    stats = pytest.importorskip("scipy.stats")
    peaks = [1, 2, 2, 5, 4, 6]
    assert depth_correlation(peaks) == pytest.approx(float(stats.spearmanr(range(6), peaks).statistic))
    assert depth_correlation([1, None, 2]) is None
