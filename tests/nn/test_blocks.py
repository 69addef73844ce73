"""Blocks and stages: their parts in order, what a network tells them, and parts of one's own in any cut."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.compute import Compute
from bntt.models import vgg6
from bntt.nn.blocks import (
    CurrentBlock,
    NeuronBlock,
    Readout,
    Residual,
    SpikeCount,
    SpikeDropout,
    SpikingBlock,
    SpikingLayer,
    bind_modules,
    fold_time,
)
from bntt.nn.call import Call, Noise
from bntt.nn.network.fold import retime
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF
from bntt.nn.norms import BNTT, LayerNorm, NoNorm
from tests.kernels import needs_kernels
from tests.nn.networks import (
    FORMS,
    backward,
    close,
    cuts_are_the_whole,
    linear,
    pair,
    residual,
    small,
    spikes_of,
)
from tests.rows import each_row


@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_parts_set_after_building_change_themselves_alone(backend, rng):
    x = 2 * torch.rand(4, 6, 8, generator=rng)

    def logits(place="", part="", value=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            body = CurrentBlock(nn.Linear(8, 8, bias=False), NoNorm())
            last = SpikingBlock(nn.Linear(8, 8, bias=False), NoNorm(), LIF(threshold=0.3))
            readout = Readout(nn.Linear(8, 3, bias=False))
        net = SpikingNetwork([Residual({"body": body}, after=NeuronBlock(LIF(threshold=0.3))), last], readout).train()
        if place:
            setattr({"body": body, "last": last}[place], part, value)
        net.compute = Compute(backend)
        return net(x)

    whole = logits()
    for place, part in (("last", "norm"), ("last", "pool"), ("body", "norm")):
        assert torch.allclose(logits(place, part), whole, atol=1e-6), f"{place}.{part}: the identity, taken away"
    assert not torch.allclose(logits("body", "dropout", SpikeDropout(0.9)), whole, atol=1e-2)


def dropping(norm: nn.Module) -> SpikingBlock:
    return SpikingBlock(linear(4, 6), norm, LIF(), dropout=SpikeDropout(0.5))


def test_names_numbers_and_steps():
    blocks = residual("before", 5, dropout=0.5).blocks
    assert bind_modules(blocks) == 5
    assert bind_modules(nn.ModuleDict({"a": dropping(NoNorm())})) is None
    assert blocks["same"].name == "block 'same'"
    assert blocks["same"].body["b"].name == "block 'same.body.b'"
    assert blocks["same"].after.name == "block 'same.after'"
    assert blocks["wider"].shortcut["c"].norm.path == "wider.shortcut.c.norm"
    numbers = [0, 1, 2, 3]
    assert [module.number for module in blocks.modules() if isinstance(module, SpikeDropout)] == numbers
    synapse, pool = linear(4, 6), nn.Identity()
    synapse.path, pool.number = "weights.bin", 3
    mixed = nn.ModuleDict({"theirs": SpikingBlock(synapse, NoNorm(), LIF(), pool), **blocks})
    bind_modules(mixed)
    assert (synapse.path, pool.number) == ("weights.bin", 3)  # theirs, whatever they mean
    assert [module.number for module in mixed.modules() if isinstance(module, SpikeDropout)] == numbers


class Normed(nn.Module):
    """A readout with a norm before its weights."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.norm, self.readout = BNTT(6, steps), Readout(linear(6, 2))

    def forward(self, x: torch.Tensor, call: Call = Call(), state: torch.Tensor | None = None):
        return self.readout(self.norm(x, call)[0], call, state)


def test_a_norm_of_the_readout_is_one_of_the_networks():
    net, x = SpikingNetwork({"a": dropping(NoNorm())}, Normed(4)), torch.ones(6, 3, 4)
    assert net.num_steps == 4
    assert net.readout.norm.path == "readout.norm"
    assert net.advance(x[:1])[1].pooled
    assert not net.eval().advance(x[:1])[1].pooled
    assert retime(net, 6, "interpolate")(x).shape == (3, 2)


NOISE = Noise(seed=0, draw=0, index=torch.arange(3))


def test_a_block_drops_what_its_pool_gives(rng):
    block = SpikingBlock(linear(4, 6), BNTT(6, 5), LIF(), None, SpikeDropout(0.5))
    with torch.no_grad():
        block.synapse.weight.copy_(torch.arange(24.0).reshape(6, 4))
    x = torch.randn(5, 3, 4, generator=rng) * 3
    whole, _ = block(x, Call(noise=NOISE))
    block.dropout.eval()
    bare, _ = block(x, Call())
    stays = block.dropout.stays(NOISE, (6,), x.device)
    assert torch.equal(whole, bare * stays * 2)
    assert bare.sum() > whole.sum() / 2 > 0
    assert torch.equal(SpikeDropout(0)(x)[0], x)


@needs_kernels
def test_draws_and_samples_have_their_own_masks_and_fused_they_are_the_same(rng):
    ours, theirs = pair(vgg6(num_steps=3, width=0.5, dropout=0.4))
    x, index = torch.randint(-1, 2, (3, 4, 1, 28, 28), generator=rng).float(), torch.tensor([5, 1, 9, 2])
    with torch.no_grad():
        found = [[net(x, seed=3, draw=d, index=index) for d in (0, 1, 0)] for net in (ours, theirs)]
        assert all(close(a, b) for a, b in zip(*found, strict=True))
        assert torch.equal(found[0][0], found[0][2])
        assert not torch.equal(found[0][0], found[0][1])
        for net in (ours, theirs):
            for block in net.blocks.values():
                block.norm.eval()
        swap = torch.tensor([2, 0, 3, 1])
        again = ours(x[:, swap], seed=3, index=index[swap])
        assert close(again, ours(x, seed=3, index=index)[swap])


def test_masks_of_layers_differ_whatever_was_built_or_replaced_since():
    def layer():
        block = SpikingBlock(linear(16, 16), BNTT(16, 3), LIF(), None, SpikeDropout(0.5))
        nn.init.eye_(block.synapse.weight)
        return block

    def masks():
        net(x, draw=1)
        return [block.dropout.stays(NOISE, (16,), x.device) for block in net.blocks.values()]

    net = SpikingNetwork({name: layer() for name in "abc"}, Readout(nn.Identity()))
    x = torch.arange(384.0).reshape(3, 8, 16)
    before = masks()
    part = SpikingNetwork({name: net.blocks[name] for name in "bc"}, net.readout)
    part(x, draw=1)
    assert all(map(torch.equal, masks(), before))
    net.blocks["c"].dropout = SpikeDropout(0.5)
    assert all(map(torch.equal, masks(), before))
    assert not any(torch.equal(*two) for two in itertools.combinations(before, 2))


def test_logits_are_the_accumulated_voltage_over_t(rng):
    readout = Readout(nn.utils.skip_init(nn.Linear, 4, 3)).double()
    nn.init.normal_(readout.synapse.weight, generator=rng)
    nn.init.normal_(readout.synapse.bias, generator=rng)
    spikes = torch.randint(0, 2, (5, 2, 4), generator=rng).double()
    expected = sum(s @ readout.synapse.weight.T + readout.synapse.bias for s in spikes)
    logits, voltage = readout(spikes)
    assert torch.allclose(logits[-1], expected / 5, atol=1e-14)
    assert torch.allclose(voltage, expected, atol=1e-14)


def test_voltages_and_membranes_are_float32_under_autocast(rng):
    readout = Readout(nn.utils.skip_init(nn.Linear, 1, 1, bias=False))
    nn.init.ones_(readout.synapse.weight)
    linears = [nn.utils.skip_init(nn.Linear, 4, 4, bias=False) for _ in range(2)]
    for layer in linears:
        nn.init.normal_(layer.weight, generator=rng)
    first, second = (SpikingBlock(layer, NoNorm(), LIF()) for layer in linears)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert readout(torch.ones(600, 1, 1))[1].item() == 600, "in bfloat16 a sum of ones stays at 256"
        _, state = second(first(torch.ones(3, 2, 4))[0])
    assert state.membrane.dtype == torch.float32


def test_a_count_of_spikes_is_that_of_the_neurons(rng):
    """Eq. 4 by hand."""
    readout = SpikeCount(nn.utils.skip_init(nn.Linear, 4, 3, bias=False), LIF(leak=0.8)).double()
    nn.init.normal_(readout.synapse.weight, generator=rng)
    spikes = torch.randint(0, 2, (6, 2, 4), generator=rng).double()
    membrane, count, expected = torch.zeros(2, 3).double(), torch.zeros(2, 3).double(), []
    for t in range(6):
        membrane = 0.8 * membrane + spikes[t] @ readout.synapse.weight.T
        fired = (membrane > 1).double()
        membrane, count = membrane - fired, count + fired
        expected.append(count / (t + 1))
    whole, state = readout(spikes)
    assert torch.allclose(whole, torch.stack(expected), atol=1e-14)
    assert torch.allclose(state[1], count, atol=1e-14)
    whole[-1].sum().backward()
    assert readout.synapse.weight.grad.any(), "through the surrogate"


class ByHand(nn.Module):
    """One step of a block of :func:`residual` after the other, written out."""

    def __init__(self, net: SpikingNetwork, form: str) -> None:
        super().__init__()
        self.net, self.form = net, form

    def forward(self, x: Tensor) -> Tensor:
        net, total = self.net, 0
        membranes: dict[nn.Module, Tensor] = {}

        def fire(lif: nn.Module, z: Tensor) -> Tensor:
            neuron = lif.neuron
            m = neuron.leak * membranes.get(lif, torch.zeros_like(z)) + z
            o = bntt.ops.spike.fire(m, neuron.threshold, neuron.surrogate)
            membranes[lif] = m - neuron.threshold * o.detach()
            return o

        def normal(block: nn.Module, x: Tensor, t: int) -> Tensor:
            z, norm = block.synapse(x), block.norm
            mean, var = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, correction=0)
            return norm.gamma[t][:, None, None] * (z - mean) / (var + norm.eps).sqrt()

        for t, step in enumerate(x):
            b = net.blocks
            y = nn.functional.max_pool2d(fire(b["pooled"].lif, normal(b["pooled"], step, t)), 2)
            if self.form == "spikes":
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = fire(body["a"].lif, normal(body["a"], y, t))
                    z = fire(body["b"].lif, normal(body["b"], z, t))
                    y = z + (fire(short["c"].lif, normal(short["c"], y, t)) if len(short) else y)
                y = fire(b["last"].lif, normal(b["last"], y, t)).mean((2, 3))
            elif self.form == "currents":
                y = normal(b["stem"], y, t)
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, y), t)
                    z = normal(body["d"], fire(body["c"].lif, z), t)
                    y = z + (normal(short["e"], y, t) if len(short) else y)
                y = fire(b["last"].lif, y).mean((2, 3))
            else:
                for name in ("same", "wider"):
                    body, short = b[name].body, b[name].shortcut
                    z = normal(body["b"], fire(body["a"].lif, normal(body["a"], y, t)), t)
                    y = fire(b[name].after.lif, z + (normal(short["c"], y, t) if len(short) else y))
                y = y.mean((2, 3))
            total = total + net.readout.synapse(y)
        return total / len(x)


@each_row("form", FORMS)
def test_the_modules_are_what_their_papers_say(form, rng):
    """In float64, against the steps written out: logits and every gradient."""
    net = residual(form).double()
    other, x = ByHand(copy.deepcopy(net), form), spikes_of(5, 3, rng).double()
    assert torch.allclose(backward(net, x), backward(other, x), rtol=1e-10)
    for (name, p), q in zip(net.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad, rtol=1e-9, atol=1e-12), name


T = 6


def drawn(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=0.8, generator=torch.Generator().manual_seed(outputs))
    return layer


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
            "first": SpikingBlock(drawn(5, 8), BNTT(8, T), LIF(0.9)),
            "dropped": Dropout(),
            "layer": SpikingBlock(drawn(8, 8), LayerNorm(8), LIF(0.9)),
            "residual": Residual({"body": SpikingBlock(drawn(8, 8), BNTT(8, T), LIF(0.8))}),
            "recurrent": Recurrent(drawn(8, 8), drawn(8, 8), BNTT(8, T), LIF(0.9)),
            "classes": SpikingBlock(drawn(8, 4), NoNorm(), LIF(0.9)),
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


def test_layers_are_listed_by_name():
    net = network()
    assert list(net.layers) == ["first", "layer", "residual.body", "recurrent", "classes"]
    assert net.layers["residual.body"].lif is net.blocks["residual"].body["body"].lif
    assert net.blocks["residual"].body["body"].norm.path == "residual.body.body.norm"
    with pytest.raises(ValueError, match=r"'residual\.body\.body'"):
        net.blocks["residual"](torch.ones(1, 2, 9))


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


@needs_kernels
@each_row(
    "make, fused",
    [
        (lambda bias: nn.Parameter(torch.stack([bias, bias + 1], 1)[:, 0]), True),
        (lambda bias: nn.Parameter(bias[:1].expand(len(bias))), True),
        (lambda bias: bias, True),  # no parameter
        (lambda bias: torch._neg_view(-bias), False),
        (lambda bias: bias.double(), False),
        (lambda bias: nn.Parameter(bias[:1].clone()), False),
    ],
)
def test_a_bias_that_lies_anyhow_is_read_as_it_is_and_another_is_not_fused(make, fused, rng):
    ours, theirs = pair(small(5).eval())
    ours.compute, bias = bntt.Compute(), torch.randn(33, generator=rng)
    for net, value in ((ours, make(bias)), (theirs, make(bias).detach().clone())):
        del net.blocks["fc1"].synapse.bias
        net.blocks["fc1"].synapse.bias = value
    x = spikes_of(5, 3, rng)
    assert (not ours.plan(x.shape).reason) == fused
    if make(bias).dtype == x.dtype:
        assert close(backward(ours, x), backward(theirs, x))
        assert close(ours.advance(x)[0], theirs.advance(x)[0])
