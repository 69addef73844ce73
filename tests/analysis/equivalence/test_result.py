"""The record of folded networks: its numbers by hand, and what it shows."""

import pytest

from bntt.analysis.equivalence import EquivalenceResult
from bntt.analysis.result import result_from


def fold(*, kept, own):
    true = {"conv1": [0.9, 0.01, 0.03], "fc1": [0.9, 0.9, 3e-7]}
    shares = {"accuracy": 0.25, "agreement": 0.5, "differing_true_spikes": true, "differing_own_spikes": own}
    return {"keeps_mean": kept, "keeps_ratio": kept} | shares


VALUES = {
    "arguments": {"split": "validation", "images": 30},
    "dataset": "made",
    "split": "validation",
    "epoch": 0,
    "images": 30,
    "accuracy": 0.9,
    "firing_rate": {"conv1": [0.5, 0.2, 0.4], "fc1": [0.5, 0.5, 0.1]},
    "heard_steps": {"conv1": [2, 3], "fc1": [3]},
    "folds": {
        "exact": fold(kept=True, own={"conv1": [0.9, 0.0, 0.0], "fc1": [0.9, 0.9, 0.0]}),
        "Eq. 15": fold(kept=False, own={"conv1": [0.9, 0.1, 0.2], "fc1": [0.9, 0.9, 0.4]}),
    },
}
FOUND = result_from(EquivalenceResult, VALUES)


def test_tables_and_charts_are_of_the_steps_that_count():
    section = FOUND.section()
    _, true, own = section.tables
    assert [[cell.text for cell in row] for row in own.rows] == [
        ["conv1", "0.00%", "15.00%", "30.0%"],
        ["fc1", "0.00%", "40.00%", "10.0%"],
    ]
    assert [row[1].text for row in true.rows] == ["2.00%", "0.00%"]
    true, own, rate = section.charts
    assert {line.name: list(line.y) for line in own.lines} == {
        "exact": [None, 0, 0],
        "Eq. 15": [None, 0.1, pytest.approx(0.3)],
    }
    assert list(true.lines[0].y)[:2] == [None, 0.01]
    assert [list(line.y) for line in rate.lines] == [[None, 0.2, 0.4], [None, None, 0.1]]
    unheard = result_from(EquivalenceResult, VALUES | {"heard_steps": {"conv1": [], "fc1": []}}).section()
    assert [cell.text for cell in unheard.tables[1].rows[0]] == ["conv1", "–", "–", "–"]


def test_rows_are_of_each_network_layer_and_step():
    rows = FOUND.rows()
    assert len(rows) == 2 * 2 * 3
    assert rows[-1] == {
        "network": "Eq. 15", "layer": "fc1", "step": 3, "heard": 1, "firing_rate": 0.1,
        "differing_true_spikes": 3e-7, "differing_own_spikes": 0.4, "accuracy": 0.25,
    }  # fmt: skip
    assert [row["heard"] for row in rows[:3]] == [0, 1, 1]


def test_numbers():
    read = {name: metric.read(FOUND, None) for name, metric in FOUND.metrics().items()}
    assert read == {"exact-agreement": 50, "eq15-accuracy": 25, "eq15-agreement": 50, "full-accuracy": 90}
    bare = result_from(EquivalenceResult, VALUES | {"folds": {}})
    assert bare.metrics()["eq15-accuracy"].read(bare, None) is None
