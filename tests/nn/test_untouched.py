"""What a fused path may not by-pass, and what would be trained as one thing and evaluated as another."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from bntt.engine.private import has_global_hooks
from bntt.nn import BNTT, LIF, NoNorm, Readout, SpikingBlock, SpikingNetwork
from bntt.nn.untouched import check_spellings, why_touched


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
    """Both forms twice as loud."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x)

    def step(self, x: Tensor, t: int, state=None):
        return super().step(2 * x, t, state)


class Leakless(LIF):
    """Both forms without memory."""

    def forward(self, current: Tensor) -> Tensor:
        return (current > self.neuron.threshold).to(current)

    def step(self, current: Tensor, membrane=None):
        return (current > self.neuron.threshold).to(current), torch.zeros_like(current)


class Doubled(Readout):
    """Both forms twice as loud."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)

    def step(self, x: Tensor, voltage=None):
        return super().step(2 * x, voltage)


def stepwise(net: SpikingNetwork, x: Tensor) -> Tensor:
    state = None
    for t, now in enumerate(x):
        logits, state = net.step(now, t, state)
    return logits


@pytest.mark.parametrize(
    "make",
    [
        lambda: network(block(Louder)),
        lambda: network(block(lif=Leakless())),
        lambda: network(readout=Doubled(linear(4, 2))),
    ],
    ids=["block", "neuron", "readout"],
)
def test_a_consistent_subclass_is_itself_in_every_form(make):
    net, x = make().eval(), spikes()
    plain = network().eval()(x)
    expected = net(x)
    assert not torch.allclose(expected, plain)
    assert torch.allclose(stepwise(net, x), expected, atol=1e-6)
    trace = net.trace(x)
    assert torch.allclose(trace.logits[-1], expected, atol=1e-6)
    assert trace.spikes["block1"].sum() > 0


def test_a_block_with_its_own_step_and_a_pool_cannot_be_counted():
    net = SpikingNetwork([block(Louder, pool=nn.Flatten())], Readout(linear(4, 2))).eval()
    assert torch.allclose(stepwise(net, spikes()), net(spikes()))
    with pytest.raises(TypeError, match=r"block 'block1' has a step\(\) of its own.*give Louder a fire_step"):
        net.trace(spikes())


class OnlyForward(LIF):
    def forward(self, current: Tensor) -> Tensor:
        return torch.zeros_like(current)


class OnlyStep(LIF):
    def step(self, current: Tensor, membrane=None):
        return torch.zeros_like(current), torch.zeros_like(current)


class BlockForward(SpikingBlock):
    def forward(self, x: Tensor) -> Tensor:
        return x


class ReadoutForward(Readout):
    def forward(self, spikes: Tensor) -> Tensor:
        return spikes[-1]


class NetworkForward(SpikingNetwork):
    def forward(self, spikes: Tensor) -> Tensor:
        return 2 * super().forward(spikes)


def with_norm(norm: nn.Module) -> SpikingBlock:
    changed = block()
    changed.norm = norm
    return changed


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: network(block(lif=OnlyForward())), r"block1.lif has a forward\(\) of its own .*override step\(\)"),
        (lambda: network(block(lif=OnlyStep())), r"block1.lif has a step\(\) of its own .*override forward\(\)"),
        (lambda: network(block(BlockForward)), r"block 'block1' has a forward\(\) of its own"),
        (lambda: network(readout=ReadoutForward(linear(4, 2))), r"the readout has a forward\(\) of its own"),
        (lambda: NetworkForward([block()], Readout(linear(4, 2))), r"this network has a forward\(\) of its own"),
        (lambda: network(with_norm(nn.BatchNorm1d(4))), r"block1.norm must be a module with both forms.*BatchNorm1d"),
    ],
)
def test_one_form_alone_is_refused_when_the_network_is_made(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_what_is_no_block_is_refused():
    with pytest.raises((TypeError, TypeCheckError), match="SpikingBlock"):
        SpikingNetwork({"block1": linear(4, 4)}, Readout(linear(4, 2)))


def test_one_form_set_on_an_instance_is_refused_when_it_would_matter():
    net = network().eval()
    net.blocks["block1"].lif.forward = torch.zeros_like
    silent = net(spikes())
    assert silent.abs().max() == 0  # as it was set, not the fused neuron
    for measure in (net.trace, lambda x: stepwise(net, x)):
        with pytest.raises(TypeError, match=r"block1.lif has a forward\(\) of its own \(this LIF\)"):
            measure(spikes())


@pytest.mark.parametrize("where", ["blocks.block1", "blocks.block1.synapse", "blocks.block2.lif", "readout"])
def test_a_method_set_on_an_instance_is_used(where):
    net = network().eval()
    before, part = net(spikes()), net.get_submodule(where)
    real = part.forward
    part.forward = lambda x: 3 * real(x)
    assert not torch.allclose(net(spikes()), before)
    assert why_touched(part) == "has a method of its own, forward"


@pytest.mark.parametrize("where", ["blocks.block1", "blocks.block1.synapse", "blocks.block2.norm", "readout"])
def test_a_hook_that_changes_something_changes_it(where):
    net = network().eval()
    before = net(spikes())
    net.get_submodule(where).register_forward_hook(lambda module, args, out: 3 * out)
    assert not torch.allclose(net(spikes()), before)


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


def test_hooks_that_measuring_does_not_call_are_named():
    net = network().eval()
    net.blocks["block2"].lif.register_forward_hook(lambda module, args, out: None)
    for inputs in (spikes(), spikes().split(1)):  # whole, or in parts as a classifier gives them
        with pytest.warns(UserWarning, match=r"PyTorch calls no hooks of block2.lif"):
            net.trace(inputs)


def test_classes_with_both_forms_of_yours_or_ours_pass():
    for module in (LIF(), Leakless(), BNTT(2, 3), linear(2, 2), block(Louder), Doubled(linear(4, 2))):
        check_spellings(module, "it")
