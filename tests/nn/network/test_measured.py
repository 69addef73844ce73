"""What a pass is asked to measure comes back as a value, in training as in evaluation, fused or plain."""

import copy

import pytest
import torch

import bntt
from bntt.nn import Measure, PoissonEncoder, SpikingClassifier, hold_statistics
from bntt.nn.network import classifier
from tests.kernels import choose, needs_kernels
from tests.nn.networks import FORMS, residual, small, spikes_of


@needs_kernels
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_count_the_same_before_the_pool(training, rng):
    x, found = spikes_of(4, 3, rng), []
    for backend in ("cpu", "reference"):
        net = small(4).train(training)
        choose(net, backend=backend)
        _, state = net.advance(x, measure=Measure(spikes=True))
        found.append(state.measured)
    sizes = {"conv1": 21 * 121, "conv2": 40 * 25, "conv3": 18 * 4, "fc1": 33}
    assert all({name: one.neurons for name, one in each.items()} == sizes for each in found)
    for name, one in found[1].items():
        counts = one.spikes
        assert counts.dtype == torch.float64
        assert torch.equal(found[0][name].spikes, counts)
        assert counts.sum() > 0 or name == "fc1"


EVERYTHING = Measure(spikes=True, places=True, samples=True, current=(-0.5, 0.0, 1.0), moments=True, gradient=True)


@needs_kernels
@pytest.mark.parametrize("recompute", ["never", 2])
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_measure_the_same(training, recompute, rng):
    """Spikes exactly; a few currents may lie on the other side of an edge, for rounding."""
    x, found = spikes_of(5, 3, rng), []
    for backend in ("cpu", "reference"):
        net = small(5).train(training)
        choose(net, backend=backend, recompute=recompute)
        logits, state = net.advance(x, measure=EVERYTHING)
        assert all(one.gradient.isnan().all() for one in state.measured.values())
        logits[-1].square().sum().backward()
        found.append(state.measured)
    shapes = {"conv1": (21, 11, 11), "conv2": (40, 5, 5), "conv3": (18, 2, 2), "fc1": (33,)}
    for name, theirs in found[1].items():
        ours = found[0][name]
        assert ours.places.shape == theirs.places.shape == (5, *shapes[name])
        for part in ("neurons", "spikes", "places", "samples"):
            assert torch.equal(torch.as_tensor(getattr(ours, part)), torch.as_tensor(getattr(theirs, part))), part
        assert ours.spikes.sum() == ours.places.sum() == ours.samples.sum()
        assert (ours.current.histogram - theirs.current.histogram).abs().max() <= 3
        assert ours.current.histogram.sum(1).tolist() == [ours.neurons * 3] * 5
        assert torch.allclose(ours.current.maximum, theirs.current.maximum, atol=1e-4)
        assert torch.allclose(ours.moments.mean, theirs.moments.mean, atol=1e-5)
        assert torch.allclose(ours.moments.var, theirs.moments.var, rtol=1e-4, atol=1e-6)
        assert ours.moments.count == theirs.moments.count
        assert torch.allclose(ours.gradient, theirs.gradient, rtol=1e-4)
        assert ours.gradient.gt(0).all()


@needs_kernels
@pytest.mark.parametrize("learn_leak", [False, "channel"])
def test_the_current_of_neurons_that_decay_it_is_the_normalised_one(learn_leak, rng):
    x, found = torch.randn(4, 50, 6, generator=rng), []
    for backend in ("cpu", "reference"):
        options = {"leak": 0.75, "decay_input": True, "learn_leak": learn_leak}
        net = bntt.models.mlp(in_features=6, hidden=(8,), num_steps=4, **options).eval()
        choose(net, backend=backend)
        found.append(net.advance(x, measure=Measure(current=(-1.0, 0.0, 1.0)))[1].measured["fc1"].current)
    assert torch.allclose(found[0].maximum, found[1].maximum, atol=1e-4)
    assert (found[0].histogram - found[1].histogram).abs().max() <= 1


@needs_kernels
def test_a_fully_connected_layer_behind_an_image_has_one_place(rng):
    x, found = torch.randint(-1, 2, (3, 4, 1, 28, 28), generator=rng).float(), []
    for backend in ("cpu", "reference"):
        net = bntt.models.vgg6(width=0.125, num_steps=3)
        choose(net, backend=backend)
        _, state = net.advance(x, measure=Measure(arrivals=True))
        found.append(state.measured["fc1"].arrivals)
    assert found[0].active.shape == (3, 1, 1)
    assert torch.equal(found[0].active, found[1].active)
    assert torch.equal(found[0].amount, found[1].amount)
    assert found[0].active.sum() > 0


@needs_kernels
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("form", ["plain", *FORMS])
def test_fused_and_plain_see_the_same_arrive(form, training, rng):
    """At every layer that has weights, at its input's places; fully connected ones have one."""
    x, found = spikes_of(5, 3, rng), []
    for backend in ("cpu", "reference"):
        net = (small(5) if form == "plain" else residual(form)).train(training)
        choose(net, backend=backend)
        _, state = net.advance(x, measure=Measure(arrivals=True))
        found.append({name: one.arrivals for name, one in state.measured.items()})
    ours, theirs = found
    weighted = {name for name, layer in net.layers.items() if layer.synapse is not None}
    assert weighted == {name for name, one in ours.items() if one is not None}
    assert ours.keys() == theirs.keys()
    for name in weighted:
        assert torch.equal(ours[name].active, theirs[name].active), name
        assert torch.allclose(ours[name].amount, theirs[name].amount, rtol=1e-6), name
    first = next(iter(weighted & {"conv1", "pooled"}))
    assert torch.equal(ours[first].amount, x.abs().sum((1, 2)).double())
    if form == "plain":
        assert [tuple(one.active.shape[1:]) for one in ours.values()] == [(11, 11), (5, 5), (5, 5), (1, 1)]


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_membrane_of_one_neuron_is_followed_step_by_step(backend, rng):
    net, x = small(5).eval(), spikes_of(5, 3, rng)
    choose(net, backend=backend)
    whole, _ = net.advance(x)
    logits, state = net.advance(x, measure=Measure(samples=True, membrane=("conv2", (7, 1, 3))))
    assert torch.allclose(logits, whole, atol=1e-6)
    found, other = state.measured["conv2"], None
    assert found.membrane.shape == found.samples.shape == (5, 3)
    assert state.measured["conv1"].membrane is None
    for t in range(5):
        _, other = net.advance(x[t : t + 1], other)
        assert torch.equal(found.membrane[t], other.blocks[1].membrane[:, 7, 1, 3])
    with pytest.raises(ValueError, match="there is no layer 'conv9' to measure: it is one of conv1, conv2, conv3, fc1"):
        net.advance(x, measure=Measure(membrane=("conv9", (0,))))
    with pytest.raises(ValueError, match=r"has neurons \[40, 5, 5\]"):
        net.advance(x, measure=Measure(membrane=("conv2", (0, 5, 0))))
    with pytest.raises(ValueError, match="measure one at a time"):
        Measure(membrane=("conv2", (0, 5, 0)), gradient=True)


def test_measuring_changes_nothing_in_the_network(rng):
    """Its statistics too are left alone, where they are held back and never taken in."""
    net, x = small(4).train(), spikes_of(4, 3, rng)
    before = copy.deepcopy(net.state_dict())
    with hold_statistics(net), torch.no_grad():
        _, state = net.advance(x, measure=Measure(moments=True))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert state.measured["conv1"].moments.mean.abs().max() > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_nothing_is_measured_unless_it_is_asked_for(rng):
    _, state = small(4).advance(spikes_of(4, 3, rng))
    assert state.measured is None
    _, state = small(4).eval().advance(spikes_of(4, 3, rng)[:1], measure=Measure(spikes=True))
    assert all(len(one.spikes) == 1 for one in state.measured.values())


@needs_kernels
def test_a_long_trace_draws_its_spikes_in_parts(rng, monkeypatch):
    """Never more than so many steps at a time, and the same spikes as all at once."""
    model = SpikingClassifier(PoissonEncoder(7, mean=[0.5, 0.4], std=[0.2, 0.2]), small(7))
    images, drawn, real = torch.rand(3, 2, 11, 11, generator=rng), [], PoissonEncoder.spikes
    whole = model.trace(images, seed=5)

    def watched(self, x, **options):
        drawn.append(options["steps"])
        return real(self, x, **options)

    monkeypatch.setattr(classifier, "STEPS_AT_ONCE", 3)
    monkeypatch.setattr(PoissonEncoder, "spikes", watched)
    parts = model.trace(images, seed=5)
    assert drawn == [range(1), range(3), range(3, 6), range(6, 7)]
    assert torch.allclose(parts.logits, whole.logits, atol=1e-6)
    assert all(torch.equal(parts.spikes[name], whole.spikes[name]) for name in whole.spikes)
    drawn.clear()
    with torch.no_grad():
        logits = model.eval()(images, seed=5)
    assert drawn == [range(3), range(3, 6), range(6, 7)]
    assert torch.allclose(logits, whole.logits[-1], atol=1e-6)
    drawn.clear()
    assert torch.allclose(model(images, seed=5), logits, atol=1e-6)
    assert drawn == [range(7)], "with gradients all steps are there at once"
