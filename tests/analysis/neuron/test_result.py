"""The record of a neuron: what it shows."""

from bntt.analysis.neuron import NeuronResult
from bntt.analysis.result import result_from

STEPS = [
    {"step": 1, "potential": 0.5, "spike": False, "membrane": 0.5, "surrogate_gradient": 0.15},
    {"step": 2, "potential": None, "spike": True, "membrane": 0.0, "surrogate_gradient": None},
]
VALUES = {
    "dataset": "made", "split": "test", "image": 3, "label": "cat", "layer": "fc1", "place": [4], "threshold": 1.0,
    "steps": STEPS, "surrogate": {"potential": [0.0, 1.0, 2.0], "gradient": [0.0, 0.3, 0.0]},
}  # fmt: skip


def test_what_is_shown():
    found = result_from(NeuronResult, VALUES)
    membrane, curve = found.section().charts
    assert [list(line.y) for line in membrane.lines] == [[0.5, None], [0.5, 0.0]]
    assert [(level.at, level.value) for level in membrane.levels] == [("y", 1.0), ("x", 2.0)]
    assert [(list(line.x), list(line.y)) for line in curve.lines] == [
        ([0.0, 1.0, 2.0], [0.0, 0.3, 0.0]),
        ([0.5], [0.15]),
    ]
    assert found.metrics()["spiking-steps"].read(found, None) == 1
    assert found.rows() == STEPS
    silent = result_from(NeuronResult, VALUES | {"steps": STEPS[:1], "surrogate": None})
    assert "never fires" in silent.section().words[0]
    assert len(silent.section().charts[1].lines) == 1
