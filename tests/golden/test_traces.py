"""The stored trace of a small network: the oracle still computes it, and so does the library."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from bntt.nn import BNTT, LIF, Readout, SpikingBlock, SpikingNetwork, fire_after, fire_before, hard_reset, soft_reset
from tests.golden import make_traces

STORED = json.loads(make_traces.TARGET.read_text(encoding="utf-8"))


def library_network(oracle) -> SpikingNetwork:
    rule = fire_before if oracle.fire_before else fire_after
    reset = hard_reset if oracle.hard_reset else soft_reset
    blocks = []
    for layer in oracle.layers:
        out, inside = layer.weight.shape[:2]
        conv = layer.weight.ndim == 4
        kind = (nn.Conv2d, (inside, out, 3), {"padding": 1}) if conv else (nn.Linear, (inside, out), {})
        synapse = nn.utils.skip_init(kind[0], *kind[1], bias=False, **kind[2])
        pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten()) if layer.pool else None
        lif = LIF(oracle.leak, learn_leak=True, rule=rule, reset=reset, decay_input=oracle.decay_input)
        block = SpikingBlock(synapse, BNTT(out, num_steps=make_traces.STEPS), lif, pool)
        blocks.append(block.double())
        with torch.no_grad():
            lif.leak_logit.fill_(math.log(oracle.leak / (1 - oracle.leak)))
            synapse.weight.copy_(torch.from_numpy(layer.weight))
            block.norm.gamma.copy_(torch.from_numpy(layer.gamma))
    readout = nn.utils.skip_init(nn.Linear, 3, 3, bias=False).double()
    with torch.no_grad():
        readout.weight.copy_(torch.from_numpy(oracle.readout))
    return SpikingNetwork(blocks, Readout(readout))


def test_the_oracle_still_gives_the_stored_traces():
    for name, rule in make_traces.RULES.items():
        found = make_traces.trace(**rule)
        assert found.keys() == STORED[name].keys()
        for part, expected in STORED[name].items():
            pairs = zip(found[part], expected, strict=True) if isinstance(expected, list) else [(found[part], expected)]
            for a, b in pairs:
                assert np.allclose(a, b, atol=1e-12, rtol=0), (name, part)


@pytest.mark.parametrize("name", make_traces.RULES)
def test_the_library_gives_the_stored_trace(name):
    expected, net = STORED[name], library_network(make_traces.network(**make_traces.RULES[name]))
    x, state = torch.from_numpy(make_traces.inputs()), None
    blocks = list(net.blocks.values())
    stepped = library_network(make_traces.network(**make_traces.RULES[name]))
    fired = []
    for block in stepped.blocks.values():
        block.lif.register_forward_hook(lambda module, args, out: fired.append(out[0]))
    for t in range(make_traces.STEPS):
        fired.clear()
        _, state = stepped.advance(x[t : t + 1], state)
        for i, spikes in enumerate(fired):
            assert spikes[0].detach().numpy().tolist() == expected["spikes"][i][t]
            assert np.allclose(state.blocks[i].membrane.detach(), expected["membrane"][i][t], atol=1e-12)
    logits = net(x)
    loss = nn.functional.cross_entropy(logits, torch.tensor(make_traces.LABELS))
    loss.backward()
    assert np.allclose(logits.detach(), expected["logits"], atol=1e-12)
    assert loss.item() == pytest.approx(expected["loss"], abs=1e-12)
    for i, block in enumerate(blocks):
        assert np.allclose(block.synapse.weight.grad, expected["weight gradients"][i], atol=1e-12)
        assert np.allclose(block.norm.gamma.grad, expected["gamma gradients"][i], atol=1e-12)
        leak = float(block.lif.neuron.leak.detach())
        assert float(block.lif.leak_logit.grad) / (leak * (1 - leak)) == pytest.approx(expected["leak gradients"][i])
        assert np.allclose(block.norm.running_mean, expected["running mean"][i], atol=1e-12)
        assert np.allclose(block.norm.running_var, expected["running variance"][i], atol=1e-12)
    assert np.allclose(net.readout.synapse.weight.grad, expected["readout gradient"], atol=1e-12)
    assert np.abs(expected["spikes"][1]).sum() > 0
