"""A neuron of a run: whose image, whose noise, and rows that JSON can hold."""

import json

import pytest
import torch

from bntt.analysis.neuron.trajectory import NeuronTrace, neuron_trace
from bntt.ops.lif import Neuron, hard_reset
from bntt.runs.measures.neuron import NeuronResult, neuron_json, neuron_rows, neuron_run
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from tests.runs.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return load_run(trained(of, parts(of), tmp_path_factory.mktemp("runs"))[0].path)


def test_it_is_the_neuron_that_was_asked_for(loaded):
    found = neuron_run(loaded, layer="conv2", place=(1, 10, 12), image=7)
    pixels = loaded.data.test.batch(torch.tensor([7]))
    theirs = neuron_trace(loaded.model, pixels, "conv2", (1, 10, 12), index=7, seed=loaded.recipe.seed)
    assert torch.equal(found.trace.membrane, theirs.membrane)
    assert found.label == loaded.classes[int(loaded.data.test.labels[7])]
    assert neuron_run(loaded).trace.layer == "conv1"
    held_out = neuron_run(loaded, layer="conv2", place=(1, 10, 12), image=7, split="validation")
    assert not torch.equal(held_out.trace.membrane, theirs.membrane)


def test_rows_and_json():
    membrane, spikes = torch.tensor([0.5, 0.0]), torch.tensor([False, True])
    result = NeuronResult("d", "test", 3, "cat", NeuronTrace("fc1", (4,), Neuron(reset=hard_reset), membrane, spikes))
    first, second = neuron_rows(result)
    assert first == {
        "step": 1,
        "potential": 0.5,
        "spike": False,
        "membrane": 0.5,
        "surrogate_gradient": first["surrogate_gradient"],
    }
    assert first["surrogate_gradient"] == pytest.approx(0.15)
    assert (second["potential"], second["surrogate_gradient"], second["spike"]) == (None, None, True)
    values = neuron_json(result)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["layer"], values["place"], values["threshold"]) == ("fc1", [4], 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": 1000}, "--image 1000: the test images have the numbers 0 to 999"),
        ({"image": -1}, "--image -1"),
        ({"layer": "conv9"}, "--layer, --place: there are no neurons in a layer 'conv9'"),
        ({"place": (1, 2)}, "--layer, --place: layer 'conv1' has neurons"),
    ],
)
def test_refusals(options, message, loaded):
    with pytest.raises(RecipeError, match=message):
        neuron_run(loaded, **options)
