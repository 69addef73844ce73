"""A stream goes on with the weights that the network has: replaced, changed, tied, or read by several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.synapse import Prepared
from bntt.nn import LIF, NoNorm, Readout, SpikingBlock, SpikingNetwork
from tests.kernels import needs_kernels
from tests.nn.networks import close, dense, pair, small, spikes_of

pytestmark = needs_kernels


def replaced_bias(net: SpikingNetwork) -> None:
    layer = net.blocks["conv2"].synapse
    layer.bias = nn.Parameter(layer.bias.detach() + 1)


def stepped(kind: type[torch.optim.Optimizer], **options: bool) -> Callable[[SpikingNetwork], None]:
    def change(net: SpikingNetwork) -> None:
        weights = [block.synapse.weight for block in net.blocks.values()]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        kind(weights, lr=0.3, **options).step()

    return change


def through_data(net: SpikingNetwork) -> None:
    for block in net.blocks.values():
        block.synapse.weight.data.mul_(1.5)
    bntt.weights_changed()


CHANGES: dict[str, Callable[[SpikingNetwork], object]] = {
    "a replaced bias": replaced_bias,
    "fused SGD": stepped(torch.optim.SGD, fused=True),
    "fused Adam": stepped(torch.optim.Adam, fused=True),
    "SGD by loops": stepped(torch.optim.SGD, foreach=False),
    "values, told": through_data,
    "a state dict": lambda net: net.load_state_dict({k: v * 1.5 for k, v in net.state_dict().items()}),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_stream_goes_on_with_the_weights_that_are_there(kind, rng):
    """Logits after a change in mid-stream, by the state that was there and by one that has no weights."""
    net, x = small(6).eval(), spikes_of(6, 2, rng)
    with torch.no_grad():
        _, state = net.advance(x[:2])
        before, _ = net.advance(x[2:], state)
    CHANGES[kind](net)
    with torch.no_grad():
        got, _ = net.advance(x[2:], state)
        want, _ = net.advance(x[2:], replace(state, prepared=Prepared()))
    assert torch.equal(got, want)
    assert not torch.equal(want, before)


def test_tied_weights_have_their_own_biases(rng):
    layers = {name: SpikingBlock(dense(8, 8, rng), NoNorm(), LIF(leak=0.9)) for name in ("fc1", "fc2")}
    layers["fc2"].synapse.weight = layers["fc1"].synapse.weight
    ours, theirs = pair(SpikingNetwork(layers, Readout(dense(8, 3, rng))))
    x = (torch.rand(30, 2, 8, generator=rng) < 0.3).float()
    with torch.no_grad():
        assert close(ours.advance(x)[0], theirs.advance(x)[0])
        assert close(ours.trace(x).logits, theirs.trace(x).logits)


def test_threads_may_go_on_from_one_state(rng):
    layers = [SpikingBlock(dense(size, 512, rng), NoNorm(), LIF()) for size in (128, 512)]
    net = SpikingNetwork(layers, Readout(dense(512, 3, rng)))
    x = (torch.rand(4, 2, 128, generator=rng) < 0.2).float()
    results: list[Tensor] = []

    def go_on(state: bntt.nn.NetworkState) -> None:
        with torch.no_grad():
            results.append(net.advance(x[1:], state)[0])

    for _ in range(10):
        with torch.no_grad():
            _, state = net.advance(x[:1])
            want, _ = net.advance(x[1:], state)
        results.clear()
        shared = replace(state, prepared=Prepared())
        threads = [threading.Thread(target=go_on, args=(shared,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 4
        assert all(torch.equal(got, want) for got in results)
