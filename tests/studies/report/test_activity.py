"""Spikes by layer, step and class; one neuron."""

from bntt.studies.report.activity import activity, neuron
from bntt.studies.report.reading import Values
from tests.studies.report.measured import texts, values


def test_a_kept_activity():
    section = activity(values("cifar10-small-bntt", "activity"))
    assert section.words == ("5,829 spikes an image in all layers and steps.",)
    assert texts(section.tables[0], 0)[-1] == "fc1"
    assert texts(section.tables[0], 3) == ["2", "3", "4", "4", "4", "5", "5", "6"]
    rates, spikes = section.charts
    assert len(rates.lines) == 8
    assert round(spikes.bars[0].values[0]) == 1385
    by_class, findings = section.folded
    assert len(by_class.rows) == 10
    assert "7 findings" in findings.caption


def test_without_a_gamma():
    assert set(texts(activity(values("rival-surrogate-0", "activity")).tables[0], 4)) == {"–"}


def test_a_neuron_and_what_a_reset_erased():
    steps = [
        {"step": 1, "potential": 0.5, "spike": False, "membrane": 0.5},
        {"step": 2, "potential": 1.2, "spike": True, "membrane": None},
    ]
    held = {"split": "test", "image": 3, "label": "cat", "layer": "conv1", "place": [0, 4], "threshold": 1.0}
    section = neuron(Values(held | {"steps": steps}, "neuron.json"))
    assert section.words == ("layer conv1, place 0, 4; test image 3 (cat). It fires at step 2.",)
    assert section.charts[0].levels[0].value == 1.0
    assert section.charts[0].lines[1].y == [0.5, None]
