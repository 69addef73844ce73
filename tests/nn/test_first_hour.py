"""What somebody who comes from another library tries first is answered by the way out."""

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from tests.rows import each_row

NET = bntt.models.mlp(in_features=6, hidden=(5,), num_steps=4)
FRAMES = torch.ones(5, 2, 8, 4, 4)


@each_row(
    ("call", "named"),
    [
        (lambda: nn.Sequential(bntt.BNTT(8, num_steps=5), nn.ReLU())(FRAMES), "as_layer"),
        (lambda: bntt.BNTT(8, num_steps=5)(FRAMES).shape, "as_layer"),
        (lambda: bntt.BNTT(8), "num_steps"),
        (lambda: bntt.BNTT(8, num_steps=5)(FRAMES.transpose(0, 1)), r"transpose\(0, 1\)"),
        (lambda: bntt.BNTT(8, num_steps=5)(FRAMES[0]), r"norm\[t\]"),
        (lambda: bntt.LIF(0.9)(torch.ones(4, 16)), "unsqueeze"),
        (lambda: bntt.LIF(tau=2.0), "leak=1 - 1 / tau"),
        (lambda: bntt.LIF(beta=0.9), "leak=beta"),
        (lambda: NET(torch.ones(3, 4, 6)), r"transpose\(0, 1\)"),
        (lambda: NET(torch.ones(3, 2, 6)), "SpikingClassifier"),
    ],
)
def test_the_way_out_is_named(call, named):
    with pytest.raises((TypeError, ValueError, AttributeError), match=named):
        call()


def test_what_is_printed_fits_a_line():
    plan = str(NET.plan((4, 2, 6)))
    assert len(plan) < 200
    assert "fc1" in plan
    assert str(bntt.analysis.Accuracy(200, ((100, 150), (110, 160)))).startswith("77.5% ± 3.5%")


def test_modules_of_peers_that_need_none_are_there():
    assert interop.snntorch.neuron
    assert interop.norse.neuron
