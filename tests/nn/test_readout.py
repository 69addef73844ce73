"""Accumulated voltage, divided by the steps taken."""

import torch
from torch import nn

from bntt.nn import Call, Readout


def test_logits_are_the_accumulated_voltage_over_t(rng):
    readout = Readout(nn.utils.skip_init(nn.Linear, 4, 3)).double()
    nn.init.normal_(readout.synapse.weight, generator=rng)
    nn.init.normal_(readout.synapse.bias, generator=rng)
    spikes = torch.randint(0, 2, (5, 2, 4), generator=rng).double()
    voltage = None
    for t in range(5):
        logits, voltage = readout(spikes[t : t + 1], Call(t), voltage)
    expected = sum(s @ readout.synapse.weight.T + readout.synapse.bias for s in spikes)
    assert torch.allclose(voltage, expected, atol=1e-14)
    assert torch.allclose(logits[0], expected / 5, atol=1e-14)
    whole, last = readout(spikes)
    assert torch.allclose(whole[-1], expected / 5, atol=1e-14)
    assert torch.allclose(last, voltage, atol=1e-14)
