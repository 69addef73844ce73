"""Stages: what is one, what it returns, and parts of one's own in a network: they compose, in any cut, measured too."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from bntt.nn import (
    BNTT,
    LIF,
    Call,
    Compute,
    LayerNorm,
    Measure,
    NoNorm,
    Readout,
    Residual,
    SpikingBlock,
    SpikingLayer,
    SpikingNetwork,
)
from bntt.nn.blocks import fold_time
from tests.nn.networks import cuts_are_the_whole

T = 6


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=0.8, generator=torch.Generator().manual_seed(outputs))
    return layer


class Adaptive(nn.Module):
    """Neurons whose threshold rises with every spike: two states."""

    class State(NamedTuple):
        membrane: Tensor
        threshold: Tensor

    def forward(self, current: Tensor, call: Call = Call(), state: State | None = None) -> tuple[Tensor, State]:
        u, theta = (torch.zeros_like(current[0]), torch.ones_like(current[0])) if state is None else state
        spikes = []
        for drive in current:
            u = 0.9 * u + drive
            fired = (u > theta).to(u)
            u, theta = u - theta * fired, 1 + 0.5 * (theta - 1) + 0.5 * fired
            spikes.append(fired + 0.3 * (u - u.detach()))
        return torch.stack(spikes), self.State(u, theta)


class Recurrent(nn.Module):
    """Its own spikes drive it one step later."""

    def __init__(self, synapse: nn.Module, back: nn.Module, norm: nn.Module, lif: nn.Module) -> None:
        super().__init__()
        self.synapse, self.back, self.norm, self.lif = synapse, back, norm, lif

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        return (SpikingLayer("", self.synapse, self.norm, self.lif),)

    def forward(self, x: Tensor, call: Call = Call(), state=None):
        norm, u, last = state or (None, None, None)
        out = []
        for t, drive in enumerate(fold_time(self.synapse, x), start=call.first):
            if last is not None:
                drive = drive + self.back(last)
            y, norm = self.norm(drive[None], Call(t, whole=False), norm)
            spikes, u = self.lif(y, Call(t), u)
            last = spikes[0]
            out.append(last)
        return torch.stack(out), (norm, u, last)


class CountingReadout(nn.Module):
    """Spikes of every class's neuron, over the steps so far."""

    def forward(self, spikes: Tensor, call: Call = Call(), state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        counts = spikes.cumsum(0) + (0 if state is None else state)
        taken = torch.arange(call.first + 1, call.first + 1 + len(spikes))
        return counts / taken[:, None, None], counts[-1]


class Dropout(nn.Module):
    """One mask for all steps, a function of whose noise it is."""

    layers = ()

    def forward(self, x: Tensor, call: Call = Call(), state=None):
        assert call.noise is not None
        keep = ((call.noise.index[:, None] * 7 + torch.arange(x.shape[2]) + call.noise.draw) % 3 > 0).to(x)
        return x * keep, None


def network() -> SpikingNetwork:
    return SpikingNetwork(
        {
            "first": SpikingBlock(linear(5, 8), BNTT(8, T), LIF(0.9)),
            "dropped": Dropout(),
            "adaptive": SpikingBlock(linear(8, 8), LayerNorm(8), Adaptive()),
            "residual": Residual({"body": SpikingBlock(linear(8, 8), BNTT(8, T), LIF(0.8))}),
            "recurrent": Recurrent(linear(8, 8), linear(8, 8), BNTT(8, T), LIF(0.9)),
            "classes": SpikingBlock(linear(8, 4), NoNorm(), LIF(0.9)),
        },
        CountingReadout(),
    )


def inputs(rng: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (T, 7, 5), generator=rng).double()


INDEX = torch.tensor([11, 3, 8, 1, 30, 2, 5])


@pytest.mark.parametrize("training", [True, False])
def test_parts_of_ones_own_compose_and_any_cut_is_the_whole(training, rng):
    def make() -> SpikingNetwork:
        net = network().train(training)
        for buffer in net.buffers():
            buffer.add_(0.1)
        return net

    cuts_are_the_whole(make, inputs(rng), [[1] * 6, [2, 4], [5, 1]], index=INDEX, draw=4)


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_rows_of_every_opaque_state_can_be_selected(backend, rng):
    net, x = network().eval(), inputs(rng).float()
    net.compute = Compute(backend)
    whole, _ = net.advance(x, index=INDEX)
    _, state = net.advance(x[:2], index=INDEX)
    keep = torch.tensor([True, False, True, True, False, True, True])
    some, after = net.advance(x[2:, keep], state.rows(keep))
    assert torch.allclose(some, whole[2:, keep], atol=1e-5)
    assert after.noise.index.tolist() == [11, 8, 1, 2, 5]


def test_what_the_kernels_know_is_fused_and_the_plan_says_why_not_the_rest():
    plan = network().plan((T, 7, 5))
    assert list(plan.fused) == ["first"]
    assert "Dropout" in plan.reason


def test_layers_are_listed_by_name():
    net = network()
    assert list(net.layers) == ["first", "adaptive", "residual.body", "recurrent", "classes"]
    assert net.layers["residual.body"].lif is net.blocks["residual"].body["body"].lif
    assert net.blocks["residual"].body["body"].norm.path == "residual.body.body.norm"
    with pytest.raises(ValueError, match=r"'residual\.body\.body'"):
        net.blocks["residual"](torch.ones(1, 2, 9))


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_a_trace_counts_the_spikes_of_all_layers(backend, rng):
    net, x = network(), inputs(rng).float()
    net.compute = Compute(backend)
    seen: dict[str, list[Tensor]] = {name: [] for name in net.layers}
    trace = net.trace(x, index=INDEX)
    for name, layer in net.layers.items():
        layer.lif.register_forward_hook(lambda m, i, out, name=name: seen[name].append(out[0]))
    _, state = net.eval().advance(x, index=INDEX, measure=Measure(spikes=True))
    for name, parts in seen.items():
        assert torch.equal(trace.spikes[name], torch.cat(parts).detach().double().round().sum(1))
        assert torch.equal(state.measured[name].spikes, trace.spikes[name])


def test_a_norm_of_ones_own_gives_the_network_its_steps(rng):
    class Own(NoNorm):
        num_steps = T

    net, x = SpikingNetwork([SpikingBlock(linear(5, 4), Own(), LIF())], Readout(linear(4, 2))), inputs(rng).float()
    _, state = net.advance(x)
    with pytest.raises(ValueError, match="t=6"):
        net.advance(x[:1], state)


def test_weights_of_ones_own_may_return_what_autocast_gives(rng):
    class Weights(nn.Module):
        layers = ()

        def __init__(self) -> None:
            super().__init__()
            self.linear = linear(5, 5)

        def forward(self, x, call, state):
            return self.linear(x), None

    x = inputs(rng).float()
    net = SpikingNetwork([Weights(), SpikingBlock(linear(5, 4), NoNorm(), LIF())], Readout(linear(4, 2)))
    with torch.autocast("cpu", torch.bfloat16):
        assert net.blocks["block1"].linear(x).dtype == torch.bfloat16
        assert net(x).dtype == torch.float32


def test_spikes_meet_a_block_without_weights_in_the_type_of_the_next_weights(rng):
    net = SpikingNetwork([Dropout(), SpikingBlock(linear(5, 4), NoNorm(), LIF())], Readout(linear(4, 2)))
    x = inputs(rng)
    assert torch.equal(net.double()(x.to(torch.int8), index=INDEX), net(x, index=INDEX))


class Halved(nn.Module):
    """Works in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(0.5)


@pytest.mark.parametrize("contiguous", [True, False])
def test_a_module_that_works_in_place_acts_however_the_steps_lie_in_memory(contiguous, rng):
    x = torch.rand(3, 4, 2, generator=rng)
    given = x.clone() if contiguous else x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(fold_time(nn.Softmax(1), given), torch.stack([step.softmax(1) for step in x]))
    assert torch.equal(fold_time(nn.Identity(), given), x)
    assert torch.equal(fold_time(Halved(), given), x / 2)
