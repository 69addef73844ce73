"""What is fused and what is not, a row each; and what a fused path may not by-pass."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.prune import l1_unstructured

from bntt.engine import kernels
from bntt.engine.compute import Compute
from bntt.engine.graph.layer import Fire, Layer, Mask, MaxPool, Sum
from bntt.engine.graph.recording import Measure
from bntt.engine.kernels import BackendError
from bntt.nn import NORMS
from bntt.nn import fuse as parts
from bntt.nn.blocks import CurrentBlock, NeuronBlock, Readout, Residual, SpikeDropout, SpikingBlock
from bntt.nn.call import Call, Noise
from bntt.nn.encoders import SequenceEncoder
from bntt.nn.fuse import (
    FusedBlock,
    NotKnown,
    Site,
    check_norm,
    fuse,
    fused_norms,
    fused_parts,
    layout_of,
    plan_of,
    pool_of,
)
from bntt.nn.network.classifier import SpikingClassifier, touched_parts
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import BNTT, TAB, TDBN, LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.nn.untouched import own_tensor
from bntt.ops.folded import FoldedNeuron
from bntt.ops.pooling import Window
from bntt.ops.spike import Triangle
from tests.kernels import choose, needs_kernels
from tests.nn.networks import close, conv, linear, pair, quiet, residual, small, spikes_of
from tests.rows import each_row

CALL = Call(noise=Noise(0, 0, torch.arange(2)))
SITE = Site(CALL, range(4), 2, Compute(), torch.device("cpu"))
LAYOUT = layout_of(torch.zeros(4, 2, 3, 6, 7))


def spiking(pool: nn.Module | None = None, dropout: nn.Module | None = None) -> SpikingBlock:
    return SpikingBlock(conv(3, 8, 3, padding=1), BNTT(8, 4), LIF(0.9), pool, dropout)


def kinds(fused: FusedBlock) -> list[tuple[type, tuple[int, ...], int | None, str | None]]:
    return [(type(one.node), one.node.reads, one.unit, one.layer) for one in fused.nodes]


def test_a_block_is_a_layer_and_what_follows_it():
    fused = fuse(spiking(nn.Sequential(nn.AvgPool2d((2, 3)), nn.Flatten())), SITE, LAYOUT)
    assert kinds(fused) == [(Layer, (-1,), 0, "")]
    assert fused.nodes[0].node.window == (2, 3)
    assert (fused.out.shape, fused.out.memory) == ((8 * 3 * 2,), (3, 2, 8))
    assert fused.nodes[0].neurons == 8 * 6 * 7
    fused = fuse(spiking(nn.MaxPool2d(2), SpikeDropout(0.5)), SITE, LAYOUT)
    assert kinds(fused) == [(Layer, (-1,), 0, ""), (MaxPool, (-1,), None, None), (Mask, (-1,), None, None)]
    assert fused.nodes[2].node.draw().shape == (2, 3, 3, 8)
    assert len(fuse(spiking(nn.MaxPool2d(2), SpikeDropout(0.5)).eval(), SITE, LAYOUT).nodes) == 2
    average, largest, out = pool_of(nn.MaxPool2d(2), (8, 7, 7), False)
    assert (average, largest, out.shape) == ((1, 1), (2, 2), (8, 3, 3)), "an odd last row is left out"


def test_a_residual_block_is_a_graph():
    blocks = residual("before", 4).blocks
    layout = layout_of(torch.zeros(4, 2, 6, 6, 6))
    body = [(Layer, (-1,), 0, "a"), (Layer, (-1,), 1, "b")]
    same = [*body, (Sum, (-1, -3), None, None), (Fire, (-1,), 2, "after")]
    wider = [*body, (Layer, (-3,), 2, "c"), (Sum, (-2, -1), None, None), (Fire, (-1,), 3, "after")]
    assert kinds(fuse(blocks["same"], SITE, layout)) == same
    assert kinds(fuse(blocks["wider"], SITE, layout)) == wider


def test_places_beyond_32_bits_are_not_fused():
    with pytest.raises(NotKnown, match="2818572288 places"):
        fuse(spiking(), replace(SITE, batch=1 << 26), LAYOUT)
    assert isinstance(fuse(spiking(), replace(SITE, batch=1 << 25), LAYOUT), FusedBlock)


def test_steps_that_a_norm_needs():
    for norm, steps, whole in ((TDBN(8, 4).eval(), range(2), False), (TAB(8, 4), range(1, 3), False)):
        check_norm(norm, steps, 8, whole=whole)
    with pytest.raises(NotKnown, match="tdBN"):
        check_norm(TDBN(8, 4), range(2), 8, whole=False)
    with pytest.raises(NotKnown, match="4 steps of 8 channels"):
        check_norm(BNTT(8, 4), range(5), 8)


def test_which_parts_are_fused_and_those_that_are_not_say_why(monkeypatch):
    assert fused_norms() == dict.fromkeys(NORMS, "fused in training and evaluation")
    found = fused_parts()
    assert found == dict.fromkeys(found, "fused in training and evaluation")
    assert "relu" in found
    monkeypatch.setattr(parts, "SITE", replace(parts.SITE, call=Call(whole=False)))
    assert fused_norms()["tdbn"].startswith("fused in evaluation; training in plain PyTorch: tdBN")
    monkeypatch.setattr(parts, "CurrentBlock", type("Own", (CurrentBlock,), {}))
    assert fused_parts()["CurrentBlock"].startswith("plain PyTorch: it is Own")


class OwnPooling(Window):
    """Fused it would be a window of this length."""


class Passing(nn.Module):
    def forward(self, x, call=Call(), state=None):
        return x, None


BODY = {"first": spiking(), "second": CurrentBlock(conv(8, 3, 3, padding=1), BNTT(3, 4))}


@each_row(
    "block, reason",
    [
        (Residual(BODY, after=NeuronBlock(type("Mine", (LIF,), {})())), "'after'.*Mine"),
        (Residual({**BODY, "third": Residual(BODY)}), "'third'.*Residual"),
        (Residual({"first": spiking()}), "shape"),
        (nn.Identity(), "Identity"),
        (spiking(None, type("Own", (SpikeDropout,), {})(0.5)), "dropout.*Own"),
        (SpikingBlock(linear(126, 5), NoNorm(), LIF()), "flat"),
        *(
            (spiking(pool), "pool")
            for pool in (
                *(nn.AvgPool2d(3, stride=2), nn.MaxPool2d(3, stride=2), nn.MaxPool2d(2, padding=1)),
                *(nn.MaxPool2d(2, dilation=2), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, return_indices=True)),
                *(nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2)), nn.AvgPool2d(8), nn.MaxPool2d(8)),
            )
        ),
    ],
)
def test_a_block_that_is_not_known_says_which_part(block, reason):
    with pytest.raises(NotKnown, match=reason):
        fuse(block, SITE, LAYOUT)


def neuron(net, **other):
    lif = net.blocks["conv2"].lif
    lif.neuron = replace(lif.neuron, **other)


def put(part, make):
    return lambda net: setattr(net.blocks["conv2"], part, make())


def with_constant(record, name, value):
    """A neuron or surrogate with a tensor where it says a number; what nobody refuses outside of these tests."""
    made = copy.copy(record)
    object.__setattr__(made, name, value)
    return made


def folded(**tables):
    def change(net):
        net.blocks["conv2"].norm = NoNorm()
        net.blocks["conv2"].lif = FoldedLIF(FoldedNeuron(**{"leak": 0.9, "threshold": 1.0, **tables}))

    return change


def learning(net):
    folded()(net)
    net.blocks["conv2"].lif.leak.requires_grad_()


def folded_behind_a_norm(net):
    net.blocks["conv2"].lif = FoldedLIF(FoldedNeuron(0.9, 1.0))


def hooked(net):
    net.blocks["conv2"].lif.register_forward_hook(lambda module, args, out: None)


ONE = torch.tensor(0.3)
NOT_FUSED = {
    "a bias": (lambda net: setattr(net.blocks["conv2"].synapse, "bias", nn.Parameter(torch.ones(10))), "bias"),
    "leaks": (put("lif", lambda: LIF(0.9, learn_leak=True, channels=41)), "41 leaks"),
    "a surrogate": (lambda net: neuron(net, surrogate=lambda v: v), "surrogate"),
    "a reset": (lambda net: neuron(net, reset=lambda u, o, t: u), "reset"),
    "neurons": (put("lif", quiet), "Quiet"),
    "a threshold": (lambda net: neuron(net, threshold=0.7) or constant(net, "threshold", ONE), "threshold"),
    "a scale": (lambda net: neuron(net, surrogate=with_constant(Triangle(), "scale", ONE)), "surrogate"),
    "an epsilon": (lambda net: setattr(net.blocks["conv2"].norm, "eps", ONE), "eps"),
    "pooling": (put("norm", lambda: TemporalNorm(40, 3, NormMethod("Own", pooling=OwnPooling(1)))), "OwnPooling"),
    "channels": (put("norm", lambda: LayerNorm(41)), "41 channels"),
    "a subclass": (put("norm", lambda: type("Own", (NoNorm,), {})()), "Own"),
    "a stage": (put("norm", Passing), "Passing"),
    "a pool": (put("pool", lambda: nn.MaxPool2d(3, 1, 1)), "pool"),
    "weights": (put("synapse", lambda: nn.Sequential(conv(21, 40, 3))), "synapse"),
    "float64": (lambda net: net.blocks["conv2"].double(), "float64"),
    "a hook": (hooked, "hook"),
    "folded, float64": (lambda net: folded()(net) or net.blocks["conv2"].lif.double(), "float64"),
    "folded, channels": (folded(leak=torch.ones(1, 3)), "3 channels"),
    "folded, a surrogate": (folded(surrogate=lambda v: v), "surrogate"),
    "folded, learning": (learning, "learn"),
    "folded, a norm": (folded_behind_a_norm, "norm"),
}


def constant(net, name, value):
    net.blocks["conv2"].lif.neuron = with_constant(net.blocks["conv2"].lif.neuron, name, value)


@needs_kernels
@pytest.mark.parametrize("row", NOT_FUSED)
def test_what_is_not_fused_says_why_and_runs_as_it_is(row, rng, no_hook):
    change, reason = NOT_FUSED[row]
    net, x = small(3), spikes_of(3, 4, rng)
    change(net)
    assert list(net.plan(x.shape).fused) == ["conv1"]
    assert reason in net.plan(x.shape).reason
    if row not in ("a bias", "leaks", "channels", "folded, channels", "float64", "folded, float64", "weights"):
        ours, theirs = pair(net, "auto")  # the others are wrong
        assert close(ours(x.to(torch.int8)), theirs(x))
    choose(net, backend="cpu")
    with pytest.raises(BackendError, match=f"'conv2'.*{reason}"):
        net(x)


@needs_kernels
def test_statistics_that_learn_have_their_gradient(rng):
    net, x = small().eval(), spikes_of(5, 4, rng)
    mean = net.blocks["conv1"].norm.running_mean.requires_grad_()
    assert "running statistics" in net.plan(x.shape).reason
    net(x).square().sum().backward()
    assert mean.grad.abs().max() > 0


@needs_kernels
def test_a_precision_must_be_here(monkeypatch):
    monkeypatch.setattr(kernels, "has_bf16", lambda: False)
    with pytest.raises(BackendError, match="bf16"):
        choose(small(3), precision="bf16")


@needs_kernels
@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_neurons_on_a_row_of_places_run_as_written(rng):
    """Of [S, B, C, L], whose shape the kernels do not know."""
    first, last = nn.Conv1d(2, 4, 3, padding=1), nn.Conv1d(4, 3, 3, padding=1)
    blocks = [SpikingBlock(first, NoNorm(), LIF(0.5)), NeuronBlock(LIF(0.9)), SpikingBlock(last, NoNorm(), LIF(0.5))]
    net = SpikingNetwork(blocks, Readout(nn.Sequential(nn.Flatten(), nn.Linear(18, 3)))).eval()
    x = 3 * torch.rand(4, 2, 2, 6, generator=rng)
    found, state = net.advance(x, measure=Measure(spikes=True))
    assert state.measured["block2"].spikes.shape == (4, 4)
    choose(net, backend="reference")
    assert torch.equal(found, net.advance(x)[0])


@needs_kernels
def test_float64_and_autocast_inputs_take_the_reference(rng):
    net, x = small(3), spikes_of(3, 4, rng)
    blocks = dict(net.blocks.items())
    assert len(plan_of(blocks, x, Compute()).fused) == 4
    assert "float64" in plan_of(blocks, x.double(), Compute()).reason
    with torch.autocast("cpu"):
        assert "autocast" in plan_of(blocks, x, Compute()).reason
    assert net.double()(x.double()).dtype == torch.float64


class Called(SpikingNetwork):
    def __call__(self, *args, **call):
        return -super().__call__(*args, **call)


class Described(SpikingNetwork):
    """Has more, and answers as it does."""


def test_the_parts_of_a_classifier_that_do_more_are_named():
    blocks = [SpikingBlock(linear(4, 4), NoNorm(), LIF())]
    model = SpikingClassifier(SequenceEncoder(6), SpikingNetwork(blocks, Readout(linear(4, 2))))
    assert not touched_parts(model)
    model.encoder.register_forward_pre_hook(lambda encoder, args: None)
    model.network.blocks["block1"].lif.forward = lambda *args: None
    nn.utils.parametrizations.weight_norm(model.network.readout.synapse)
    model.network.__class__ = Described
    found = {
        "encoder": "has a hook",
        "network.blocks.block1.lif": "has a method of its own, forward",
        "network.readout.synapse": "has a parametrization",
    }
    assert touched_parts(model) == found
    model.network.__class__ = Called
    model.trace = lambda *args: None
    found |= {"network": "has a method of its own, __call__", "the classifier": "has a method of its own, trace"}
    assert touched_parts(model) == found
    handle = register_module_forward_hook(lambda module, args, out: None)
    try:
        assert touched_parts(model) == found | {"every module": "has a hook"}
    finally:
        handle.remove()


def test_a_tensor_that_is_computed_is_not_written():
    layer = linear(4, 2)
    assert own_tensor(layer, "weight") is layer.weight
    buffer = nn.BatchNorm1d(2)
    assert own_tensor(buffer, "running_mean") is buffer.running_mean
    for change in (nn.utils.parametrizations.weight_norm, lambda layer: l1_unstructured(layer, "weight", 1)):
        change(layer := linear(4, 2))
        with pytest.raises(ValueError, match="'weight'"):
            own_tensor(layer, "weight")
