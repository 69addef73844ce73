"""The record of drift: its numbers by hand, and what it shows."""

import json
import math

import pytest

from bntt.analysis.drift import DriftArguments, DriftResult
from bntt.analysis.result import result_from

LAYER = {
    "driven": [2, 3],
    "distance": [math.nan, 0.5, 1.5],
    "distance_if_shared": [9.0, 1.0, 2.0],
}
VALUES = {
    "arguments": {"layer": None, "split": "validation", "images": 4},
    "dataset": "made",
    "split": "validation",
    "epoch": 0,
    "norm": "bn",
    "images": 7,
    "layers": {"conv1": LAYER},
    "distribution": {"layer": "conv1", "images": 4, "edges": [0, 0.5, 1], "counts": [[2, 1, 1, 0]] * 3},
}


def test_numbers_are_those_of_driven_steps_and_what_is_no_number_is_none():
    found = result_from(DriftResult, VALUES)
    read = {name: metric.read(found, None) for name, metric in found.metrics().items()}
    assert read == {"drift": 1.0, "largest-drift": 1.5, "drift-if-shared": 1.5}
    assert found.arguments == DriftArguments(images=4)
    assert [(row["driven"], row["distance"]) for row in found.rows()] == [(False, None), (True, 0.5), (True, 1.5)]
    assert "NaN" not in json.dumps(found.to_json())
    distribution, distance, _ = found.section().charts
    assert list(distance.lines[0].y) == [None, 0.5, 1.5]
    assert [line.name for line in distribution.lines][:2] == ["step 2", "step 3"]
    assert distribution.lines[0].y == [0.5, 0.5]  # a quarter of the values in each half
    with pytest.raises(ValueError, match=r"layers\.conv1\.driven"):
        result_from(DriftResult, VALUES | {"layers": {"conv1": LAYER | {"driven": [2]}}})
