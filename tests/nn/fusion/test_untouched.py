"""What a fused path may not by-pass: subclasses, hooks, methods set on an instance."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils.prune import l1_unstructured

from bntt.engine.private import has_global_hooks
from bntt.nn import LIF, Call, NoNorm, Readout, SequenceEncoder, SpikingBlock, SpikingClassifier, SpikingNetwork
from bntt.nn.network.classifier import touched_parts
from bntt.nn.untouched import own_tensor, why_touched
from tests.kernels import needs_kernels
from tests.nn.networks import advanced


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    nn.init.uniform_(layer.weight, 0.0, 0.5, generator=torch.Generator().manual_seed(outputs))
    return layer


def block(kind: type[SpikingBlock] = SpikingBlock, lif: LIF | None = None, norm=None, pool=None) -> SpikingBlock:
    return kind(linear(4, 4), norm or NoNorm(), lif or LIF(0.9), pool)


def network(first: SpikingBlock | None = None, readout: Readout | None = None) -> SpikingNetwork:
    return SpikingNetwork([first or block(), block()], readout or Readout(linear(4, 2)))


def spikes(steps: int = 6) -> Tensor:
    return (torch.arange(steps * 3 * 4).reshape(steps, 3, 4) % 3).float()


class Louder(SpikingBlock):
    """Twice as loud."""

    def forward(self, x: Tensor, call: Call = Call(), state=None):
        return super().forward(2 * x, call, state)


class Leakless(LIF):
    """Without memory."""

    def forward(self, current: Tensor, call: Call = Call(), membrane=None):
        return (current > self.neuron.threshold).to(current), torch.zeros_like(current[0])


class Doubled(Readout):
    """Twice as loud."""

    def forward(self, spikes: Tensor, call: Call = Call(), voltage=None):
        return super().forward(2 * spikes, call, voltage)


@pytest.mark.parametrize(
    "make",
    [
        lambda: network(block(Louder)),
        lambda: network(block(Louder, pool=nn.Identity())),
        lambda: network(block(lif=Leakless())),
        lambda: network(readout=Doubled(linear(4, 2))),
    ],
    ids=["block", "block with a pool", "neuron", "readout"],
)
def test_a_subclass_is_itself_in_every_form(make):
    net, x = make().eval(), spikes()
    expected, trace = net(x), net.trace(x)
    assert not torch.allclose(expected, network().eval()(x))
    for sizes in (1, 4):
        assert torch.allclose(advanced(net, x, sizes)[0][-1], expected, atol=1e-6)
    assert torch.allclose(trace.logits[-1], expected, atol=1e-6)
    assert trace.spikes["block1"].sum() > 0


def louder(out):
    return (3 * out[0], out[1]) if isinstance(out, tuple) else 3 * out


def own_forward(part: nn.Module, seen: list[int]) -> None:
    real = part.forward

    def forward(*args):
        seen.append(len(args[0]))
        return louder(real(*args))

    part.forward = forward
    assert "forward" in why_touched(part)


def hook(part: nn.Module, seen: list[int]) -> None:
    part.register_forward_hook(lambda module, args, out: seen.append(len(args[0])) or louder(out))


@needs_kernels
@pytest.mark.parametrize("change", [own_forward, hook])
@pytest.mark.parametrize(
    "where", ["blocks.block1", "blocks.block1.synapse", "blocks.block2.norm", "blocks.block2.lif", "readout"]
)
def test_what_was_done_to_an_instance_is_done_in_every_form(where, change):
    net, seen = network().eval(), []
    assert not net.plan(spikes().shape).reason, "it would be fused"
    before = net(spikes())
    change(net.get_submodule(where), seen)
    assert not torch.allclose(net(spikes()), before)
    for call in (net, net.advance, net.trace):
        seen.clear()
        call(spikes())
        assert sum(seen) == (18 if where.endswith("synapse") else 6), call


class Called(SpikingNetwork):
    def __call__(self, *args, **call):
        return -super().__call__(*args, **call)


class Described(SpikingNetwork):
    """Has more, and answers as it does."""

    def about(self) -> str:
        return "mine"


def test_the_parts_of_a_classifier_that_do_more_are_named():
    model = SpikingClassifier(SequenceEncoder(6), network())
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


def test_a_hook_for_all_modules_sees_all_of_them():
    net, seen = network().eval(), []
    handle = register_module_forward_hook(lambda module, args, out: seen.append(type(module).__name__))
    try:
        assert has_global_hooks()
        net(spikes())
    finally:
        handle.remove()
    assert seen.count("LIF") == 2
    assert "Readout" in seen
