"""What a pass is asked to measure comes back as a value, fused or plain, as modules are given and give it."""

import copy
import itertools
import threading

import pytest
import torch
from torch import nn

from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.recording import distribution
from bntt.nn import BNTT, LIF, Call, Measure, PoissonEncoder, SpikingBlock, SpikingClassifier, hold_statistics
from bntt.nn.call import evaluating
from bntt.nn.network import classifier, measured
from bntt.nn.network.measured import check_finite_input, membrane_at, watching
from tests.grids import pairs
from tests.kernels import choose, needs_kernels
from tests.nn.networks import FORMS, folded, leaking, noting, pair, residual, small, spikes_of

T = 5
EVERYTHING = Measure(
    spikes=True, places=True, samples=True, current=(-0.5, 0.0, 1.0), moments=True, gradient=True, arrivals=True
)
SHAPES = {"conv1": (21, 11, 11), "conv2": (40, 5, 5), "conv3": (18, 2, 2), "fc1": (33,)}
PLACES = {"conv1": (11, 11), "conv2": (5, 5), "conv3": (5, 5), "fc1": (1, 1)}
NETS = {
    "plain": lambda: small(T),
    **{form: lambda form=form: residual(form) for form in FORMS},
    "folded": lambda: folded("both", T),
    "folded numbers": lambda: folded("number", T),
    "inputs that decay": lambda: leaking(small(T), "fixed", 0.75, decay_input=True),
    "learned decay": lambda: leaking(small(T), "channel", 0.75, decay_input=True),
}


@needs_kernels
@pairs(recompute=["never", 2], chunk=[1, engine_layer.CHUNK_BYTES], training=[True, False])
def test_fused_and_plain_measure_the_same(training, chunk, recompute, rng, monkeypatch):
    """Spikes exactly; a few currents may lie on the other side of an edge, for rounding."""
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    for row, make in NETS.items():
        with noting(row):
            nets, x, found = pair(make().train(training)), spikes_of(T, 4, rng), []
            choose(nets[0], recompute=recompute)
            for net in nets:
                logits, state = net.advance(x, measure=EVERYTHING)
                logits.square().sum().backward()
                found.append(state.measured)
            assert list(found[0]) == list(found[1]) == list(nets[0].layers)
            for name, layer in nets[0].layers.items():
                check_alike(found[0][name], found[1][name], layer)
            first = next(one for one in found[0].values() if one.arrivals is not None)
            assert torch.equal(first.arrivals.amount, x.abs().sum((1, 2)).double())
    plain = small(T).train(training).advance(x, measure=EVERYTHING)[1].measured
    assert {name: tuple(one.places.shape[1:]) for name, one in plain.items()} == SHAPES
    assert {name: tuple(one.arrivals.active.shape[1:]) for name, one in plain.items()} == PLACES
    assert all(one.gradient.isnan().all() for one in plain.values()), "until there is a backward pass"


def check_alike(ours, theirs, layer):
    """Layers without neurons have moments and gradients, those without weights have spikes."""
    assert (theirs.spikes is None) == (layer.lif is None)
    assert (theirs.moments is None) == (layer.norm is None)
    assert (theirs.arrivals is None) == (layer.synapse is None)
    if layer.lif is not None:
        for part in ("neurons", "spikes", "places", "samples"):
            assert torch.equal(torch.as_tensor(getattr(ours, part)), torch.as_tensor(getattr(theirs, part))), part
        assert ours.spikes.dtype == torch.float64
        assert ours.spikes.sum() == ours.places.sum() == ours.samples.sum()
        assert (ours.current.histogram - theirs.current.histogram).abs().sum() <= 4
        assert ours.current.histogram.sum(1).tolist() == [ours.neurons * 4] * T
        assert torch.allclose(ours.current.maximum, theirs.current.maximum, atol=1e-4)
    if layer.norm is not None:
        assert torch.allclose(ours.moments.mean, theirs.moments.mean, rtol=1e-4, atol=1e-5)
        assert torch.allclose(ours.moments.var, theirs.moments.var, rtol=1e-4, atol=1e-5)
        assert ours.moments.count == theirs.moments.count
        assert torch.allclose(ours.gradient, theirs.gradient, rtol=1e-3)
    if layer.synapse is not None:
        assert torch.equal(ours.arrivals.active, theirs.arrivals.active)
        assert torch.allclose(ours.arrivals.amount, theirs.arrivals.amount, rtol=1e-6)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize(
    ("make", "layer", "place", "of"),
    [
        (lambda: small(T), "conv2", (7, 1, 3), lambda state: state.blocks[1]),
        (lambda: residual("before"), "same.after", (2, 1, 0), lambda state: state.blocks[1][2]),
    ],
    ids=["a layer", "a part of a block"],
)
def test_the_membrane_of_one_neuron_is_followed_step_by_step(make, layer, place, of, backend, rng):
    net, x, state = make().eval(), spikes_of(T, 3, rng), None
    choose(net, backend=backend)
    whole, _ = net.advance(x)
    logits, after = net.advance(x, measure=Measure(samples=True, membrane=(layer, place)))
    assert torch.allclose(logits, whole, atol=1e-6)
    found = after.measured[layer]
    assert found.membrane.shape == found.samples.shape == (T, 3)
    assert found.membrane.any()
    assert [name for name, one in after.measured.items() if one.membrane is not None] == [layer]
    for t in range(T):
        _, state = net.advance(x[t : t + 1], state)
        assert torch.equal(found.membrane[t], of(state).membrane[(slice(None), *place)])


def test_measuring_changes_nothing_in_the_network(rng):
    """Its statistics too are left alone, where they are held back and never taken in."""
    net, x = small(4).train(), spikes_of(4, 3, rng)
    before = copy.deepcopy(net.state_dict())
    with hold_statistics(net), torch.no_grad():
        _, state = net.advance(x, measure=Measure(moments=True))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert state.measured["conv1"].moments.mean.abs().max() > 0
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert net.advance(x)[1].measured is None


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


@pytest.fixture
def block(rng):
    conv = nn.utils.skip_init(nn.Conv2d, 2, 3, 3, padding=1, bias=False)
    nn.init.normal_(conv.weight, generator=rng)
    return SpikingBlock(conv, BNTT(3, num_steps=4), LIF(0.9), nn.AvgPool2d(2)).double()


@pytest.fixture
def x(rng):
    return torch.randn(4, 5, 2, 6, 6, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("cut", [4, 1, 3])
def test_everything_that_can_be_asked_for(block, x, cut, rng):
    state, first, out = None, 0, []
    with watching({"it": block.layers[0]}, x, EVERYTHING) as measured:
        for part in x.split(cut):
            y, state = block(part, Call(first), state)
            out.append(y)
            first += len(part)
    found, out = measured["it"], torch.cat(out)
    other = SpikingBlock(block.synapse, BNTT(3, num_steps=4).double(), block.lif, block.pool)
    synaptic = block.synapse(x.flatten(0, 1)).unflatten(0, (4, 5))
    synaptic.retain_grad()
    current, _ = other.norm(synaptic)
    spikes, _ = other.lif(current)
    assert found.neurons == 3 * 36
    assert torch.allclose(found.arrivals.amount, x.abs().sum((1, 2)))
    assert torch.equal(found.arrivals.active, (x != 0).sum((1, 2)))
    assert torch.equal(found.spikes, spikes.sum((1, 3, 4)).detach())
    assert torch.equal(found.places, spikes.sum(1).detach())
    assert torch.equal(found.samples, spikes.sum((2, 3, 4)).detach())
    bins = list(itertools.pairwise((-torch.inf, -0.5, 0.0, 1.0, torch.inf)))
    for t in range(4):
        inside = [int(((current[t] >= low) & (current[t] < high)).sum()) for low, high in bins]
        assert found.current.histogram[t].tolist() == inside
    assert torch.allclose(found.current.maximum, current.detach().flatten(1).amax(1))
    assert torch.allclose(found.moments.mean, synaptic.detach().mean((1, 3, 4)))
    assert torch.allclose(found.moments.var, synaptic.detach().var((1, 3, 4), unbiased=False))
    assert found.moments.count == (180,) * 4
    assert found.gradient.isnan().all()
    weights = torch.randn(out.shape, generator=rng, dtype=torch.float64)
    (out * weights).sum().backward()
    (torch.stack([other.pool(s) for s in spikes]) * weights).sum().backward()
    assert torch.allclose(found.gradient, synaptic.grad.flatten(1).norm(dim=1), rtol=1e-10)
    assert found.gradient.gt(0).all()


def test_nothing_asked_for_is_nothing_hooked(block, x):
    with watching({"it": block.layers[0]}, x, Measure()) as found:
        assert not block.lif._forward_hooks
        block(x, Call())
    assert found == {}
    with watching({"it": block.layers[0]}, x, Measure(samples=True)) as found:
        block(x, Call())
    assert (found["it"].spikes, found["it"].moments, found["it"].gradient) == (None, None, None)
    with pytest.raises(KeyError), watching({"it": block.layers[0]}, x, EVERYTHING):
        raise KeyError
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in block.modules()), "after an error too"


def test_a_layer_that_was_not_called_for_every_step_is_named(block, x):
    with pytest.raises(TypeError, match="'it'"), watching({"it": block.layers[0]}, x, EVERYTHING):
        block(x[:3], Call())


def test_other_threads_are_not_watched(block, x):
    with watching({"it": block.layers[0]}, x, Measure(spikes=True)) as found:
        other = threading.Thread(target=lambda: block(x, Call()))
        other.start()
        other.join()
        block(x, Call())
    assert found["it"].spikes.shape == (4, 3)


def test_a_current_on_an_edge_is_above_it_and_one_neuron_is_of_every_sample():
    found = distribution(torch.tensor([[0.0, 1.0, 1.0, 5.0]]), (0.0, 1.0))
    assert found.histogram.tolist() == [[0, 1, 3]]
    assert found.maximum.tolist() == [5]
    membrane = torch.arange(24.0).reshape(2, 3, 2, 2)
    assert membrane_at("it", membrane, (1, 0, 1)).tolist() == [[membrane[0, 1, 0, 1], membrane[1, 1, 0, 1]]]


def test_every_mode_is_restored_even_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())

    def fail() -> None:
        with evaluating(net):
            raise KeyError([m.training for m in net.modules()])

    with pytest.raises(KeyError, match=r"\[False, False, False\]"):
        fail()
    assert [m.training for m in net.modules()] == [True, True, False]


def test_what_a_graph_captures_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(measured, "being_captured", lambda x: True)
    check_finite_input(torch.full((2, 1, 3), float("nan")), 0)
    check_finite_input(torch.zeros(1, 1, 2, dtype=torch.int8), 0)
