"""The record of a neuron: what it shows."""

from bntt.analysis.neuron import NeuronResult
from bntt.analysis.result import result_from

STEPS = [
    {"step": 1, "potential": 0.5, "spike": False, "membrane": 0.5, "surrogate_gradient": 0.15},
    {"step": 2, "potential": None, "spike": True, "membrane": 0.0, "surrogate_gradient": None},
]
VALUES = {
    "dataset": "made",
    "split": "test",
    "image": 3,
    "label": "cat",
    "layer": "fc1",
    "place": [4],
    "threshold": 1.0,
    "steps": STEPS,
    "surrogate": {"potential": [0.0, 1.0, 2.0], "gradient": [0.0, 0.3, 0.0]},
}


def test_what_is_shown():
    found = result_from(NeuronResult, VALUES)
    section = found.section()
    assert section.words == ("Neuron 4 of fc1, test image 3 (cat): it fires at step 2.",)
    membrane, gradient, curve = section.charts
    assert [list(line.y) for line in membrane.lines] == [[0.5, None], [0.5, 0.0]]
    assert [(level.at, level.value) for level in membrane.levels] == [("y", 1.0), ("x", 2.0)]
    assert list(gradient.lines[0].y) == [0.15, None]
    assert [(list(line.x), list(line.y)) for line in curve.lines] == [
        ([0.0, 1.0, 2.0], [0.0, 0.3, 0.0]),
        ([0.5], [0.15]),
    ]
    assert found.metrics()["spiking-steps"].read(found, None) == 1
    assert found.rows() == STEPS


def test_a_neuron_that_never_fires_is_said_to():
    found = result_from(NeuronResult, VALUES | {"steps": STEPS[:1], "surrogate": None})
    assert found.section().words[0].endswith("it never fires.")
    assert [line.name for line in found.section().charts[2].lines] == ["steps of the neuron"]
