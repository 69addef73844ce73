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
    SpikingBlock,
    SpikingLayer,
    SpikingNetwork,
)
from bntt.nn.blocks import check_stage, fold_time, passed
from tests.grids import pairs

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


class Residual(nn.Module):
    """What goes in is added to what comes out."""

    def __init__(self, body: SpikingBlock) -> None:
        super().__init__()
        self.body = body

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        return tuple(layer.under("body") for layer in self.body.layers)

    def forward(self, x: Tensor, call: Call = Call(), state=None):
        y, state = self.body(x, call, state)
        return x + y, state


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
            "residual": Residual(SpikingBlock(linear(8, 8), BNTT(8, T), LIF(0.8))),
            "recurrent": Recurrent(linear(8, 8), linear(8, 8), BNTT(8, T), LIF(0.9)),
            "classes": SpikingBlock(linear(8, 4), NoNorm(), LIF(0.9)),
        },
        CountingReadout(),
    )


def inputs(rng: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (T, 7, 5), generator=rng).double()


INDEX = torch.tensor([11, 3, 8, 1, 30, 2, 5])


@pairs(training=[True, False], sizes=[[1] * 6, [2, 4], [5, 1]])
def test_parts_of_ones_own_compose_and_any_cut_is_the_whole(training, sizes, rng):
    x, results = inputs(rng), []
    for cut in ([T], sizes):
        net, state, parts = network().double().train(training), None, []
        for buffer in net.buffers():
            buffer.add_(0.1)
        for part in x.split(cut):
            logits, state = net.advance(part, state, **({"index": INDEX, "draw": 4} if state is None else {}))
            parts.append(logits)
        (parts[-1][-1] * torch.arange(4)).sum().backward()
        results.append([torch.cat(parts).detach(), *(p.grad for p in net.parameters()), *net.buffers()])
    assert all(value.abs().max() > 0 for value in results[0])
    for whole, found in zip(*results, strict=True):
        assert torch.allclose(whole, found, atol=1e-12)
    net = network().double().train(training)
    for buffer in net.buffers():
        buffer.add_(0.1)
    assert torch.allclose(net(x, index=INDEX, draw=4), results[0][0][-1], atol=1e-12)


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
    with pytest.raises(ValueError, match="the state has the noise of seed 0, draw 0"):
        net.advance(x[:1], state, draw=3)


def test_what_the_kernels_know_is_fused_and_the_plan_says_why_not_the_rest():
    plan = network().plan((T, 7, 5))
    assert list(plan.fused) == ["first"]
    assert plan.reason == "it is Dropout, which the kernels do not support"


def test_layers_are_listed_by_name():
    net = network()
    assert list(net.layers) == ["first", "adaptive", "residual.body", "recurrent", "classes"]
    assert net.layers["residual.body"].lif is net.blocks["residual"].body.lif
    assert net.blocks["residual"].body.norm.path == "residual.body.norm"
    with pytest.raises(ValueError, match=r"block 'residual.body' takes torch.float32"):
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


def test_what_is_no_block_says_what_one_is():
    with pytest.raises(TypeError, match=r"block 'block1' must take \(x \[S, B, ...\], call, state\)"):
        SpikingNetwork([linear(4, 4)], Readout(linear(4, 2)))
    with pytest.raises(TypeError, match="block 'block1' must list the layers that spike in it: give LIF a property"):
        SpikingNetwork([LIF()], Readout(linear(4, 2)))
    with pytest.raises(TypeError, match="the readout must take"):
        SpikingNetwork([SpikingBlock(linear(4, 4), NoNorm(), LIF())], linear(4, 2))


def test_layers_that_are_listed_wrongly_are_refused():
    class Two(Residual):
        layers = property(lambda self: self.body.layers + self.body.layers)

    class Blocks(Residual):
        layers = property(lambda self: (self.body,))

    body = SpikingBlock(linear(4, 4), NoNorm(), LIF())
    with pytest.raises(TypeError, match=r"each with a name of its own"):
        SpikingNetwork([Two(body)], Readout(linear(4, 2)))
    with pytest.raises(TypeError, match="must list the layers that spike"):
        SpikingNetwork([Blocks(body)], Readout(linear(4, 2)))


def test_a_norm_of_ones_own_gives_the_network_its_steps(rng):
    class Own(NoNorm):
        num_steps = T

    net, x = SpikingNetwork([SpikingBlock(linear(5, 4), Own(), LIF())], Readout(linear(4, 2))), inputs(rng).float()
    _, state = net.advance(x)
    with pytest.raises(ValueError, match=r"this network has 6 time steps \(0-5\), got t=6: build the network with"):
        net.advance(x[:1], state)


def test_what_a_stage_returns_is_looked_at(rng):
    class Alone(nn.Module):
        def forward(self, x, call, state):
            return x

    class Shorter(nn.Module):
        def forward(self, x, call, state):
            return x[1:], None

    x = torch.randn(3, 2, 4, generator=rng)
    with pytest.raises(
        TypeError, match=r"the norm of this block must return \(tensor \[S, B, ...\], state\), got Tensor"
    ):
        SpikingBlock(linear(4, 4), Alone(), LIF())(x)
    with pytest.raises(ValueError, match=r"the lif of this block took \[3, 2\] .* and returned \[2, 2\]"):
        SpikingBlock(linear(4, 4), NoNorm(), Shorter())(x)
    with pytest.raises(TypeError, match="int takes nothing: it cannot be called"):
        check_stage(3, "it", "y")
    assert passed("it", LIF(), x, Call(), None)[0].shape == x.shape


def test_fold_time_is_a_loop_over_time(rng):
    x = torch.randn(4, 2, 2, 6, 6, generator=rng)
    pool = nn.AvgPool2d(3)
    assert torch.equal(fold_time(pool, x), torch.stack([pool(step) for step in x]))


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
    net, x = (
        SpikingNetwork([Dropout(), SpikingBlock(linear(5, 4), NoNorm(), LIF())], Readout(linear(4, 2))),
        inputs(rng),
    )
    assert torch.equal(net.double()(x.to(torch.int8), index=INDEX), net(x, index=INDEX))


class Halved(nn.Module):
    """Works in place."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(0.5)


@pytest.mark.parametrize("contiguous", [True, False])
def test_a_module_that_works_in_place_acts_however_the_steps_lie_in_memory(contiguous, rng):
    x = torch.rand(3, 4, 2, generator=rng)
    given = x.clone() if contiguous else x.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(fold_time(nn.Identity(), given), x)
    assert torch.equal(fold_time(Halved(), given), x / 2)
