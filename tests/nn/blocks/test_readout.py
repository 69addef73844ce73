"""Accumulated voltage, divided by the steps taken."""

import torch
from torch import nn

from bntt.nn import LIF, NoNorm, Readout, SpikeCount, SpikingBlock


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
