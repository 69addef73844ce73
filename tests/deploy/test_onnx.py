"""ONNX: ONNX Runtime computes the library's logits, all steps at once and one by one, for any batch."""

import json
import sys

import numpy as np
import onnxruntime as runtime
import pytest
import torch

import bntt
from bntt.deploy import DeployError, describe, onnx_graph
from bntt.models import MODELS
from bntt.nn import NORMS, fold
from tests.contracts.test_models import SHAPES, build
from tests.deploy.networks import session, steps_of
from tests.deploy.test_description import randomized
from tests.grids import every_value

BATCH = 3
CODINGS = {"poisson": bntt.PoissonEncoder, "direct": bntt.DirectEncoder, "frames": bntt.FrameEncoder}


def step_by_step(description, steps):
    """Logits after each step, from a graph of one; ``steps`` gives its inputs."""
    one = session(description, step=True)
    kept = [value for value in one.get_inputs() if value.name not in ("input", "step")]
    state = {value.name: np.zeros([len(steps[0]), *value.shape[1:]], np.float32) for value in kept}
    names, found = [value.name for value in one.get_outputs()], []
    for t, x in enumerate(steps):
        out = dict(zip(names, one.run(None, {"input": x, "step": np.array(t), **state}), strict=True))
        found.append(out.pop("logits"))
        state = {name.removeprefix("next."): value for name, value in out.items()}
    return np.stack(found)


@every_value(
    name=MODELS,
    norm=[n for n in NORMS if n != "layer"],
    fire__reset=[("after", "soft"), ("before", "hard"), ("after", "hard"), ("before", "soft"), ("after", "soft")],
    coding=CODINGS,
)
def test_logits_are_the_librarys(name, norm, fire, reset, coding, rng):
    steps_taken = steps_of(name, fire)
    network, _ = build(name, steps_taken, norm=norm, fire=fire, reset=reset)
    shape, coding = SHAPES[name][1], "frames" if name == "mlp" else coding
    moments = {"mean": [0.4] * shape[0], "std": [0.3] * shape[0]} if coding != "frames" else {}
    encoder = bntt.SequenceEncoder(steps_taken) if name == "mlp" else CODINGS[coding](steps_taken, **moments)
    with torch.no_grad():
        for weight in randomized(network).parameters():
            weight.mul_(3 if weight.ndim > 2 else 1)  # so that spikes reach the readout
    model = bntt.SpikingClassifier(encoder, network)
    made = describe(model, input_shape=shape)
    whole = session(made)
    for batch in (1, BATCH):
        pixels = torch.rand(batch, *([steps_taken] if coding == "frames" else []), *shape, generator=rng)
        with torch.no_grad():
            steps = model.encoder(pixels, seed=0, index=torch.arange(batch), draw=0)
            expected = network.double().advance(steps.double())[0].numpy()
        x = (pixels if coding == "direct" else steps).numpy()
        logits, over_time = whole.run(None, {"input": x})
        assert np.array_equal(logits, over_time[-1])
        assert np.abs(over_time - expected).max() < 2e-4  # no tie among so few neurons
        one_by_one = step_by_step(made, [x] * steps_taken if coding == "direct" else x)
        assert np.abs(one_by_one - over_time).max() < 2e-5
    assert np.ptp(expected[-1], axis=0).max() > 1e-3, "spikes of the samples reach the readout"


@pytest.mark.slow
@torch.no_grad()
def test_a_thousand_images_agree_but_for_ties():
    model, images = bntt.models.pretrained(), bntt.data.fashion_mnist_bundled().test.images / 255
    spikes = model.encoder(images, seed=0, index=torch.arange(len(images)), draw=0)
    logits = session(describe(model)).run(["logits"], {"input": spikes.numpy()})[0]
    expected = model.network.double()(spikes.double()).numpy()
    assert (np.abs(logits - expected).max(1) < 1e-4).mean() >= 0.995
    assert (logits.argmax(1) == expected.argmax(1)).mean() >= 0.999


def test_folded_neurons_with_a_table_of_every_step(rng):
    model = bntt.models.pretrained()
    made = describe(bntt.SpikingClassifier(model.encoder, fold(model.network.double())))
    assert any(layer.neurons.turned is not None for layer in made.layers[:-1])
    spikes = model.encoder(torch.rand(2, 1, 28, 28, generator=rng), draw=0)
    with torch.no_grad():
        expected = model.network(spikes.double()).numpy()
    assert np.abs(session(made).run(["logits"], {"input": spikes.numpy()})[0] - expected).max() < 1e-3
    assert np.abs(step_by_step(made, spikes.numpy())[-1] - expected).max() < 1e-3


def test_the_file_says_what_its_graph_does_not(tmp_path):
    made = describe(bntt.models.pretrained(), classes=list("abcdefghij"))
    onnx_graph.write(made, tmp_path / "net.onnx")
    facts = runtime.InferenceSession(tmp_path / "net.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(facts["bntt.classes"]) == list("abcdefghij")
    assert json.loads(facts["bntt.mean"]) == list(made.encoder.mean)
    assert json.loads(facts["bntt.gamma"])["conv1"] == made.layers[0].gamma.tolist()


def test_a_step_too_many_and_a_missing_package_are_refused(monkeypatch):
    made = describe(bntt.models.pretrained())
    with pytest.raises(runtime.capi.onnxruntime_pybind11_state.InvalidArgument):
        step_by_step(made, np.zeros((9, 1, 1, 28, 28), np.float32))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DeployError, match=r"bntt\[onnx\]"):
        onnx_graph.build(made)
