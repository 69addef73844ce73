"""What neurons do beside their weights, counted by hand."""

import pytest
import torch
from torch import nn

from bntt.analysis.energy.state_updates import updates_of
from bntt.analysis.energy.weight_inputs import Site, Value
from bntt.nn import BNTT, LIF, FoldedLIF, LayerNorm, NoNorm, hard_reset
from bntt.ops.folded import FoldedNeuron

SPIKES = torch.tensor([3.0, 0.5]).double()


def done(norm, lif, *, bias=False, weights=True):
    """Per step: multiplications, additions; and the ANN's additions; of six neurons."""
    layer = nn.Conv2d(1, 2, 2, bias=bias, device="meta") if weights else None
    found = updates_of(Site(Value((1, 2, 4), None), (2, 1, 3), layer, norm, lif), spikes=SPIKES)
    return found.multiplications.tolist(), found.additions.tolist(), found.ann


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        # norm 1 x 1 +, leak 1 x, current and threshold 2 +, reset 1 + a spike; ANN: bias and ReLU
        ((BNTT(2, num_steps=2), LIF(0.9)), ([12, 12], [6 * 3 + 3, 6 * 3 + 0.5], 12)),
        ((NoNorm(), LIF(0.9)), ([6, 6], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(1.0)), ([0, 0], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(0.9, learn_leak=True)), ([6, 6], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((NoNorm(), LIF(0.9, decay_input=True)), ([12, 12], [6 * 2 + 3, 6 * 2 + 0.5], 6)),
        ((BNTT(2, num_steps=2), LIF(0.9, decay_input=True)), ([12, 12], [6 * 3 + 3, 6 * 3 + 0.5], 12)),  # in its scale
        ((NoNorm(), LIF(0.9, reset=hard_reset)), ([6, 6], [12, 12], 6)),
        ((LayerNorm(2), LIF(0.9)), ([18, 18], [6 * 5 + 3, 6 * 5 + 0.5], 12)),
        ((NoNorm(), FoldedLIF(FoldedNeuron(leak=0.9, threshold=1.0))), ([12, 12], [21, 18.5], 6)),
        ((BNTT(2, num_steps=2), None), ([6, 6], [6, 6], 6)),  # a current
        ((NoNorm(), None), ([0, 0], [0, 0], 0)),  # a readout
        ((NoNorm(), nn.Identity()), ([6, 6], [15, 12.5], 6)),  # neurons of yours, as if they leaked
    ],
    ids=repr,
)
def test_operations_of_one_layer(parts, expected):
    assert done(*parts) == expected


def test_a_bias_is_an_addition_unless_a_norm_takes_it_in():
    assert done(NoNorm(), None, bias=True) == ([0, 0], [6, 6], 6)
    assert done(BNTT(2, num_steps=2), LIF(0.9), bias=True) == done(BNTT(2, num_steps=2), LIF(0.9))
    assert done(None, LIF(0.9), weights=False) == ([6, 6], [15, 12.5], 6)
