"""A network made constant in time: what is folded where, and how it is chosen and measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import bntt
from bntt.data.loader import SampleLoader
from bntt.deploy import DeployError, Runtime, choose_constant, describe, from_nir, make_constant
from bntt.deploy.from_torch import accuracy, candidates
from bntt.deploy.nir import graph
from bntt.models import mlp, pretrained, resnet20
from bntt.nn import fold
from tests.deploy.networks import classifier
from tests.deploy.nir import interpreter
from tests.deploy.test_bundle import same
from tests.rows import each_row


@each_row("by, row", [("median", lambda t: np.median(t, 0)), ("mean", lambda t: t.mean(0)), ("step 3", lambda t: t[2])])
def test_scale_and_shift_become_weights_and_bias(by, row):
    made = describe(pretrained())
    one = made.nodes[1]
    made = replace(made, nodes=(made.nodes[0], biased(one), *made.nodes[2:]))
    for layer, found in zip(made.layers, make_constant(made, by).layers, strict=True):
        a, b = row(layer.scale), row(layer.shift)
        scales = a.reshape(-1, *[1] * (layer.weights.values.ndim - 1))
        assert np.allclose(found.weights.values, layer.weights.values * scales, 1e-6)
        bias = b if layer.weights.bias is None else a * layer.weights.bias + b
        assert layer.name == "readout" or np.allclose(found.weights.bias, bias, 1e-5)
        assert found.weights.values.dtype == np.float32
        assert found.gamma is None


def biased(layer):
    return replace(layer, weights=replace(layer.weights, bias=np.linspace(-1, 1, 16, dtype=np.float32)))


@each_row("name, norm", [("resnet20", "bn"), ("vgg6", "tdbn"), ("mlp", "none")])
def test_what_never_changed_stays_what_it_was(name, norm):
    coding = "sequence" if name == "mlp" else "direct"
    model, samples, shape = classifier(name, coding, norm=norm, reset="hard", threshold=0.3)
    made = describe(model, input_shape=shape)
    wide = {place: replace(node.weights, values=node.weights.values.astype(np.float64))
            for place, node in enumerate(made.nodes) if getattr(node, "weights", None) is not None}  # fmt: skip
    nodes = (replace(node, weights=wide[place]) if place in wide else node for place, node in enumerate(made.nodes))
    made = replace(made, nodes=tuple(nodes))
    expected = Runtime(made, "float64").trace(samples.astype(np.float64))
    found = Runtime(make_constant(made), "float64").trace(samples.astype(np.float64))
    assert np.ptp(expected[-1], axis=0).max() > 0
    assert np.abs(found - expected).max() < 1e-10


def test_a_constant_graph_is_of_what_others_have():
    made = make_constant(describe(pretrained("fashion-mnist-direct")), "mean")
    built = graph.build(made)
    kinds = {type(node).__name__ for node in built.nodes.values()}
    assert kinds <= {"Input", "Output", "Conv2d", "LIF", "AvgPool2d", "Flatten", "Linear", "Affine"}
    assert not any({"scale", "shift"} & node.metadata.keys() for node in built.nodes.values())
    assert same(from_nir(built), made)
    images = bntt.data.fashion_mnist_bundled().test.images[:3].numpy() / 255
    runtime = Runtime(made, "float64")
    x = (images - np.array(made.encoder.mean)) / np.array(made.encoder.std)
    found = interpreter.run(built, np.stack([x] * made.num_steps))["output"].mean(0)
    assert np.abs(found - runtime.run(images)).max() < 1e-9


def test_the_best_on_validation_is_chosen_and_told():
    made = describe(pretrained("fashion-mnist-direct"))
    images = bntt.data.fashion_mnist_bundled().test.select(torch.arange(0, 1000, 25))
    loader, cropped = SampleLoader(images, 20), SampleLoader(images, 20, augment=["crop"])
    assert len({accuracy(made, cropped) for _ in range(4)}) == 1  # each candidate's samples are the same
    found = choose_constant(made, loader)
    told = found.accuracies
    assert [*told] == ["exact", *candidates(made)]
    assert candidates(made) == ["median", "mean", "step 1", "step 2", "step 3", "step 4"]
    assert found.by == max(candidates(made), key=told.__getitem__)
    assert found.samples == 40
    assert 0.6 < told[found.by] <= 1
    assert same(found.description.nodes, make_constant(made, found.by).nodes)
    assert f"their {found.by}, hard reset; {told[found.by]:.4f} right of 40" in found.description.provenance["constant"]


def test_the_noise_is_that_of_the_places(monkeypatch):
    """The same samples in other batches, or by name, are encoded by the same spikes."""
    made, seen = describe(pretrained()), []
    run = Runtime.run
    monkeypatch.setattr(Runtime, "run", lambda own, x, **told: seen.append((x, told)) or run(own, x, **told))
    data = bntt.data.fashion_mnist_bundled().test.select(torch.arange(0, 1000, 10))
    batches = list(SampleLoader(data, 20))
    plain = [(x[part], labels[part]) for x, labels, _ in batches for part in (slice(0, 7), slice(7, None))]
    shuffled = [(batch.inputs.flip(0), batch.labels.flip(0), batch.indices.flip(0)) for batch in reversed(batches)]
    found = []
    for samples in (batches, plain, shuffled):
        seen.clear()
        right, count = accuracy(made, samples, 3)
        assert count == 100
        assert all((told["seed"], told["draw"]) == (3, 1 << 32) for _, told in seen)
        images = {int(place): image for x, told in seen for place, image in zip(told["index"], x, strict=True)}
        found.append(right)
        assert all(np.array_equal(images[place], data.images[place] / np.float32(255)) for place in range(100))
    assert len({*found}) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "column"), [("fashion-mnist-vgg6", 1), ("fashion-mnist-direct", 2)])
def test_the_documents_numbers(name, column):
    text = (Path(__file__).parents[2] / "docs" / "how-to" / "exporting.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    shown = {row[0]: float(row[column].split(" %")[0]) for row in rows if row[-1].count(" %")}
    loader = SampleLoader(bntt.data.fashion_mnist_bundled().test, 100)
    exact = describe(pretrained(name))
    made = {"exact": exact} | {f"constant by {by}": make_constant(exact, by) for by in ("median", "mean")}
    for row, network in made.items():
        assert abs(100 * accuracy(network, loader)[0] - shown[row]) < 0.25, row  # two ties


def test_what_cannot_be_made_constant_or_chosen():
    made = describe(pretrained())
    encoder = bntt.SequenceEncoder(2)
    folded = describe(bntt.SpikingClassifier(encoder, fold(mlp(in_features=4, hidden=(8,), num_steps=2))))
    samples = [(np.zeros((1, 1, 28, 28), np.float32), [0])]
    for call, named in (
        (lambda: make_constant(folded), "fc1"),
        *((lambda by=by: make_constant(made, by), by) for by in ("step 9", "step 0", "middle")),
        (lambda: choose_constant(made, iter(samples)), "validation"),
        (lambda: choose_constant(made, [(samples[0][0], np.zeros((1, 1), np.int64))]), "validation"),
        (lambda: choose_constant(made, [(samples[0][0], [10])]), "validation"),
    ):
        with pytest.raises(DeployError, match=named):
            call()


def test_neurons_behind_a_sum_keep_a_scale_of_their_own():
    network = resnet20(num_steps=2, width=0.25, in_channels=1, learn_leak="channel", decay_input=True)
    made = describe(bntt.SpikingClassifier(bntt.DirectEncoder(2), network), input_shape=(1, 8, 8))
    own = [layer for layer in make_constant(made).layers if layer.weights is None]
    assert own
    assert all(np.array_equal(layer.scale, made.nodes[place].scale) for layer in own
               for place in [[node.name for node in made.nodes].index(layer.name)])  # fmt: skip
    assert all(layer.neurons.reset == "hard" for layer in own)
