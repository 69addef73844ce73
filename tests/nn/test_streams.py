"""Weights that are packed for a stream may be tied, and read by several threads."""

from __future__ import annotations

import threading
from dataclasses import replace

import torch
from torch import Tensor

import bntt
from bntt.engine.synapse import Prepared
from bntt.nn import LIF, NoNorm, Readout, SpikingBlock, SpikingNetwork
from tests.kernels import needs_kernels
from tests.nn.networks import close, dense, pair

pytestmark = needs_kernels


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
