"""A chain that a network keeps gives the bits of a plan made anew, to threads and in any mode, and few are kept."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

import bntt
from bntt.engine import synapse as crossover
from bntt.engine.graph import layer
from bntt.nn import BNTT, LIF, TAB, BetaBNTT, NoNorm, Readout, ScaledBNTT, SharedBN, SpikingBlock, SpikingNetwork
from bntt.nn.network import advance as module
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.nn.network.streaming import T, anew, equal, stream, with_statistics
from tests.nn.networks import OPTIONS, dense, residual, small, spikes_of

pytestmark = needs_kernels
Net = SpikingNetwork

NETS: dict[str, Callable[[], Net]] = {
    **{f"small {i}": lambda neuron=neuron: small(T, **neuron) for i, neuron in enumerate(OPTIONS)},
    **{norm.__name__: lambda norm=norm: small(T, norm=norm) for norm in (TAB, BetaBNTT, ScaledBNTT, SharedBN)},
    "no norm": lambda: small(T, norm=lambda channels, steps: NoNorm()),
    "learned leaks": lambda: small(T, learn_leak=True, decay_input=True),
    "folded": lambda: bntt.nn.fold(small(T)),
    "a flattened image": lambda: flattening(torch.Generator().manual_seed(1)),
}


def flattening(rng: torch.Generator) -> Net:
    layers = [
        SpikingBlock(nn.Sequential(nn.Flatten(), dense(2 * 11 * 11, 40, rng)), BNTT(40, T), LIF()),
        SpikingBlock(dense(40, 40, rng), BNTT(40, T), LIF()),
    ]
    return SpikingNetwork(layers, Readout(dense(40, 3, rng)))


@every_value(net=list(NETS), kind=["signed", "bytes", "counts", "one image"], at_once=[1, 2, T], batch=[1, 3])
def test_the_same_bits_as_a_plan_made_anew(net, kind, at_once, batch, rng, used):
    net, x = with_statistics(NETS[net]()), spikes_of(T, batch, rng)
    x = {"bytes": x.to(torch.int8), "counts": x.abs().to(torch.int8), "one image": x[:1].expand_as(x)}.get(kind, x)
    want, whole = anew(net, x, None, at_once), copy.deepcopy(net)(x).detach()
    for _ in range(2):
        got, _ = stream(net, x, None, at_once)
        assert equal(got, want)
        with torch.no_grad():
            assert torch.equal(net(x), whole)
    assert len(used) >= T // at_once


def test_samples_that_leave_take_the_chain_of_those_that_were_there(rng, used, monkeypatch):
    """With the spikes of those that stay alone."""
    net, x, begun = with_statistics(small(T)), spikes_of(T, 9, rng), []
    stream(net, x[:2])
    real = module._begin
    monkeypatch.setattr(module, "_begin", lambda *args: begun.append(1) or real(*args))
    there, state, measure = torch.arange(9), None, bntt.nn.Measure(spikes=True)
    for t in range(T):
        some = x[t : t + 1, there]
        with torch.no_grad():
            logits, after = net.advance(some, state, measure=measure)
            wanted, other = copy.deepcopy(net).advance(some, state, measure=measure)
        assert torch.equal(logits, wanted)
        assert all(torch.equal(a.spikes, other.measured[name].spikes) for name, a in after.measured.items())
        keep = torch.arange(len(there)) % 3 != t % 3
        state, there = after.rows(keep), there[keep]
    assert (len(used), begun) == (T + 1, [])


@torch.no_grad()
def test_a_state_that_nobody_needs_is_advanced_where_it_lies(rng, used):
    """Any other stays as it was."""
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    want, (_, state) = anew(net, x), stream(net, x[:2])
    for in_place in (False, True):
        given, before = [unit.membrane for unit in state.blocks], [unit.membrane.clone() for unit in state.blocks]
        _, after = net.advance(x[2:3], state, in_place=in_place)
        assert all(map(torch.equal, given, before)) != in_place
        assert all(a is not b.membrane for a, b in zip(given, after.blocks, strict=True))
        places = [unit.membrane.data_ptr() for unit in after.blocks]
        assert (places == [one.data_ptr() for one in given]) == in_place
    assert equal(stream(net, x[3:], after)[0][-5:], want[-5:])
    assert len(used) >= T


def test_steps_that_go_a_few_at_a_time_do_so_here_too(rng, used, monkeypatch):
    """As many as fit together of so many samples; what is counted is of all of them."""
    monkeypatch.setattr(layer, "CHUNK_BYTES", 200_000)
    net, x = with_statistics(small(T)), spikes_of(T, 9, rng)
    for samples in (9, 9, 4, 9, 1, 5):
        some, measure = x[:, :samples], bntt.nn.Measure(spikes=True)
        assert equal(stream(net, some, None, T)[0], anew(net, some, None, T))
        with torch.no_grad():
            assert torch.equal(net(some), copy.deepcopy(net)(some))
            after, other = (one.advance(some, measure=measure)[1] for one in (net, copy.deepcopy(net)))
        assert all(torch.equal(a.spikes, other.measured[name].spikes) for name, a in after.measured.items())
    ready = net._kept._held.ready[(T, x.shape[2:], x.dtype)]
    steps = [layer.CHUNK_BYTES // (4 * ready._each * samples) for samples in (9, 4)]
    assert 1 <= steps[0] < steps[1] < T
    assert len(used) >= 3 * 5


def test_what_the_process_chose_is_taken(rng, used, monkeypatch):
    monkeypatch.setattr(crossover, "_measure", lambda *args, backward: 0.3)
    monkeypatch.setattr(crossover, "_MEASURED", {})
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for deterministic in (False, True):
        torch.use_deterministic_algorithms(deterministic)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert equal(stream(net, x[:3])[0], anew(net, x[:3]))
    assert len(used) >= 4 * 2, "all but the first of three calls by each rule"


def test_a_chain_of_inference_mode_goes_on_outside(rng, used):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    want = anew(net, x)
    with torch.inference_mode():
        for _ in range(2):
            _, state = stream(net, x[:3])
    assert equal(stream(net, x)[0], want)
    assert equal(stream(net, x[3:], state)[0][-5:], want[-5:])
    assert len(used) == 6 - 1 + T + 3


def test_threads_share_no_chain(rng, used, monkeypatch):
    layers = [SpikingBlock(dense(size, 256, rng), BNTT(256, T), LIF()) for size in (64, 256)]
    net, x = SpikingNetwork(layers, Readout(dense(256, 3, rng))).eval(), torch.randn(4, T, 2, 64, generator=rng)
    want, wrong = [anew(net, one) for one in x], []
    stream(net, x[0])
    begun, begin = [], module._begin
    monkeypatch.setattr(module, "_begin", lambda *given: begun.append(1) or begin(*given))

    def run(number: int) -> None:
        for _ in range(5):
            if not equal(stream(net, x[number])[0], want[number]):
                wrong.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(used) >= T
    assert len(begun) <= 1, "a thread that comes meanwhile goes on without"


def test_no_input_is_held_until_the_next_call(rng):
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    for _ in range(3):
        stream(net, x)
    ready = [*net._kept._held.ready.values()]
    assert ready
    assert all(one._links[0].source.values.is_meta for one in ready)


def test_a_copy_has_none_and_a_network_not_many(rng, used, monkeypatch):
    net, x = with_statistics(small(T)), spikes_of(T, 12, rng)
    stream(net, x)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other._kept._held is None
        assert equal(stream(other, x)[0], anew(net, x))
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    for steps in (1, 2, 3, 2):
        assert equal(stream(net, x, None, steps)[0], anew(net, x, None, steps))
    assert len(net._kept._held.ready) == 2
    monkeypatch.setattr(module, "MOST_BYTES", 1 << 12)
    net = with_statistics(small(T))
    used.clear()
    assert equal(stream(net, x)[0], anew(net, x))
    assert not used


@pytest.mark.parametrize(
    "net", [lambda: residual("before", T), lambda: small(T, norm=lambda c, t: bntt.nn.LayerNorm(c))]
)
def test_other_networks_run_as_before(net, rng, used, monkeypatch):
    """They are asked once, whatever the number of samples."""
    begun, real = [], module._begin
    monkeypatch.setattr(module, "_begin", lambda *args: begun.append(1) or real(*args))
    net, x = net().eval(), spikes_of(T, 4, rng)
    for samples in (2, 4, 1):
        some = x[:, :samples]
        assert equal(stream(net, some)[0], anew(net, some))
    assert (used, len(begun)) == ([], 1)


def test_a_network_too_large_for_many_samples_is_not_for_few(rng, used, monkeypatch):
    net, x = with_statistics(small(T)), spikes_of(T, 12, rng)
    stream(net, x[:, :3])
    size = net._kept._held.ready[(1, x.shape[2:], x.dtype)].size
    monkeypatch.setattr(module, "MOST_BYTES", 2 * size)
    for samples in (12, 9, 3):
        used.clear()
        assert equal(stream(net, x[:, :samples])[0], anew(net, x[:, :samples]))
        assert bool(used) == (samples == 3)
    monkeypatch.setattr(module._Snapshot, "same_values", lambda self: pytest.fail("compared, for nothing"))
    stream(net, x)


def test_parts_with_other_steps_than_their_network(rng, used):
    """Steps that come later are no errors of these."""
    net, x = with_statistics(small(T)), spikes_of(T, 3, rng)
    net.blocks["fc1"].norm, net.compute = BNTT(net.blocks["fc1"].norm.gamma.shape[1], 3).eval(), bntt.Compute("cpu")
    for _ in range(3):
        assert equal(stream(net, x[:3])[0], anew(net, x[:3]))
    block = SpikingBlock(dense(6, 32, rng), NoNorm(), LIF())
    net, x = SpikingNetwork([block], Readout(dense(32, 3, rng))).eval(), torch.randn(4, 2, 6, generator=rng)
    net.blocks["block1"].norm = norm = BNTT(32, 4).eval()
    with torch.no_grad():
        norm.gamma.copy_(torch.arange(4.0)[:, None].expand(4, 32))
    for _ in range(3):
        assert equal(stream(net, x)[0], anew(net, x))
