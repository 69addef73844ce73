"""The drift of runs and networks, against NumPy's moments of what hooks saw, over batches of unequal size."""

import copy

import numpy as np
import pytest
import torch

import bntt
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.drift import DRIFT, MEASURES, DriftArguments, measure_drift
from bntt.analysis.drift.inputs import held_norms, input_drift, input_moments, layer_drift, layer_inputs
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import PartLoader, SampleLoader, stratified
from bntt.models import mlp, resnet20, vgg6
from bntt.nn import BNTT, PoissonEncoder, SpikingClassifier, TemporalNorm
from bntt.ops.norm import Moments
from bntt.runs.measure import run_measurement
from tests.kernels import choose, needs_bf16, needs_kernels
from tests.trained import opened_run

STEPS = 4


def classifier(norm: str, kind: str = "vgg6", **options) -> SpikingClassifier:
    if kind == "vgg6":
        net = vgg6(num_steps=STEPS, width=0.25, image_size=8, norm=norm, **options)
    else:
        net = resnet20(num_steps=STEPS, width=0.125, in_channels=1, norm=norm, residual=kind, **options)
    model = SpikingClassifier(PoissonEncoder(STEPS, mean=[0.5], std=[0.3]), net)
    draws = torch.Generator().manual_seed(5)
    for part in model.modules():
        if isinstance(part, TemporalNorm):  # as if trained: another mean, deviation and γ of each step and channel
            part.running_mean.normal_(0, 0.3, generator=draws)
            part.running_var.uniform_(0.2, 2.0, generator=draws)
            part.gamma.data.uniform_(0.5, 1.5, generator=draws)
    return model


def batches(rng, sizes=(5, 2, 4)):
    return [(torch.rand(n, 1, 8, 8, generator=rng), torch.zeros(n, dtype=torch.int64)) for n in sizes]


def seen(model: SpikingClassifier, loader) -> dict[str, np.ndarray]:
    """What every norm was given, ``[T, N, C, places]`` of all samples, in plain float32 PyTorch, as float64."""
    model, found = copy.deepcopy(model).eval(), {}
    choose(model.network, backend="reference")
    for name, layer in model.network.layers.items():
        if layer.norm is not None:

            def keep(module, args, name=name):
                found.setdefault(name, []).append(args[0].flatten(3) if args[0].ndim > 3 else args[0][..., None])

            layer.norm.register_forward_pre_hook(keep)
    first = 0
    with torch.no_grad():
        for images, labels in loader:
            model(images, index=torch.arange(first, first + len(labels)), seed=3, draw=FIRST_DRAW)
            first += len(labels)
    return {name: torch.cat(parts, 1).double().numpy() for name, parts in found.items()}


def row(values: np.ndarray, t: int) -> np.ndarray:
    return values[t if len(values) > 1 else 0]


@pytest.mark.parametrize(("norm", "kind"), [("bntt", "vgg6"), ("tab", "vgg6"), ("bn", "basic")])
def test_it_is_what_numpy_finds_in_all_that_came(norm, kind, rng):
    model, loader = classifier(norm, kind), batches(rng)
    choose(model.network, backend="reference")
    found, inputs, came = input_drift(model, loader, seed=3), seen(model, loader), input_moments(model, loader, seed=3)
    assert list(found) == list(held_norms(model.network)) == list(inputs)
    for name, layer in list(found.items())[:: 1 if kind == "vgg6" else 6]:
        x, held = inputs[name], model.network.layers[name].norm
        mean, std = held.running_mean.double().numpy(), np.sqrt(held.running_var.double().numpy() + held.eps)
        distance = [np.mean(np.abs(x[t].mean((0, 2)) - row(mean, t)) / row(std, t)) for t in range(STEPS)]
        assert layer.distance == pytest.approx(distance, rel=1e-5), name
        assert came[name].count == (x[0, :, 0].size,) * STEPS
        assert came[name].mean.numpy() == pytest.approx(x.mean((1, 3)), abs=1e-6)
        assert came[name].var.numpy() == pytest.approx(x.var((1, 3)), rel=1e-4, abs=1e-9)


@needs_kernels
def test_the_kernels_find_the_same(rng):
    """But for a few membranes on the threshold's other side, for rounding."""
    model, loader, found = classifier("bntt"), batches(rng), []
    for backend in ("cpu", "reference"):
        choose(model.network, backend=backend)
        found.append(input_drift(model, loader))
    for name, layer in found[1].items():
        for field in MEASURES:
            assert getattr(found[0][name], field) == pytest.approx(getattr(layer, field), rel=0.01, abs=1e-3), name


def test_by_hand():
    """Two steps of one channel: means 2 and 0, variances 4 and 1, against 0 and 1, and 1 and 4."""
    norm = BNTT(1, num_steps=2, eps=1e-12)
    norm.running_mean.copy_(torch.tensor([[0.0], [1.0]]))
    norm.running_var.copy_(torch.tensor([[1.0], [4.0]]))
    came = Moments(torch.tensor([[2.0], [0.0]]).double(), torch.tensor([[4.0], [1.0]]).double(), (8, 8))
    found = layer_drift(came, norm, range(2))
    assert found.distance == pytest.approx([2, 0.5])
    usual = np.sqrt((1 + 4) / 2 + 0.25)  # of the mixture: mean 1/2
    assert found.distance_if_shared == pytest.approx([1.5 / usual, 0.5 / usual])
    assert layer_drift(came, norm, range(1)).distance_if_shared == pytest.approx([2, 0])


def test_where_one_pair_serves_all_steps_only_the_input_moves(rng):
    shared, stepwise = (input_drift(classifier(norm), batches(rng)) for norm in ("bn", "bntt"))
    assert all(layer.distance == layer.distance_if_shared for layer in shared.values())
    assert not any(layer.distance == layer.distance_if_shared for layer in stepwise.values())


def test_steps_that_are_silent_by_rule_are_told(rng):
    found = input_drift(classifier("bntt", fire="before"), batches(rng))
    assert [layer.driven for layer in found.values()][:2] == [(1, 0), (2, 1)]
    model = SpikingClassifier(PoissonEncoder(6), mlp(in_features=64, hidden=(8, 8), num_steps=6, fire="before"))
    assert input_drift(model, batches(rng))["fc2"].driven == (2, 5)


@pytest.mark.parametrize(("norm", "kind", "backend"), [("bntt", "vgg6", "auto"), ("bn", "vgg6", "reference")])
def test_the_distribution_is_that_of_all_values_in_held_units(norm, kind, backend, rng):
    model, loader, edges = classifier(norm, kind), batches(rng), (-1.0, 0.0, 0.5, 2.0)
    choose(model.network, backend="reference")
    inputs = seen(model, loader)
    choose(model.network, backend=backend)
    for name in list(inputs)[1:3]:
        norm_of, x = model.network.layers[name].norm, inputs[name]
        held_mean, held_var = norm_of.running_mean.double().numpy(), norm_of.running_var.double().numpy() + norm_of.eps
        found = layer_inputs(model, loader, name, edges=edges, seed=3)
        assert (found.layer, found.edges) == (name, edges)
        for t in range(STEPS):
            z = (x[t] - row(held_mean, t)[:, None]) / np.sqrt(row(held_var, t))[:, None]
            expected = np.bincount(np.digitize(z.flatten(), edges), minlength=5)
            assert sum(found.counts[t]) == expected.sum()
            assert np.abs(found.counts[t] - expected).sum() <= 6 + 0.01 * expected.sum()
            inside = sum(found.counts[t][1:-1]) / sum(found.counts[t])
            assert np.dot(found.density(t), [1.0, 0.5, 1.5]) == pytest.approx(inside)


def test_what_is_not_there_is_refused(rng):
    for norm, kind in (("none", "NoNorm"), ("layer", "LayerNorm")):
        with pytest.raises(ValueError, match=kind):
            input_drift(classifier(norm), batches(rng))
    model = classifier("bntt")
    model.network.blocks["again"] = model.network.blocks["fc1"]
    for layer, named in (("conv9", "conv9.* conv1"), ("again", "again.* 'fc1'")):
        with pytest.raises(ValueError, match=named):
            layer_inputs(model, batches(rng), layer)


@pytest.fixture(scope="module")
def run():
    return opened_run(network={"norm": "bn"})


def test_it_measures_the_split_and_draws_some_of_it(run):
    progress = Progress()
    found = measure_drift(run, DriftArguments(images=20), progress)
    held_out, seed = run.data.validation, run.recipe.seed
    assert progress.done == progress.total == len(held_out) + 20
    assert (found.images, found.distribution.images, found.norm) == (len(held_out), 20, "bn")
    theirs = input_drift(run.model, SampleLoader(held_out, run.recipe.evaluate.batch_size), seed=seed)
    assert all(layer.distance == theirs[name].distance for name, layer in found.layers.items())
    few = PartLoader(held_out, stratified(held_out, 20, seed), 250)
    assert found.distribution.layer == "conv3"  # the middle one of five
    assert found.distribution == layer_inputs(run.model, few, "conv3", seed=seed)
    other = measure_drift(run, DriftArguments(layer="fc1", split="test", images=5), Progress())
    assert (other.distribution.layer, other.split) == ("fc1", "test")
    with pytest.raises(ArgumentError, match="conv9"):
        run_measurement(DRIFT, [run], DriftArguments(layer="conv9"), Progress())


@needs_bf16
def test_a_network_in_bfloat16_is_looked_into(rng):
    """By hooks, which no kernel bypasses: in float32 then."""
    model, given = classifier("bntt"), batches(rng)
    expected = layer_inputs(model, given, "conv2")
    model.network.compute = bntt.Compute(precision="bf16")
    assert layer_inputs(model, given, "conv2") == expected
