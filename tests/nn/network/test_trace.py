"""What measuring is made of: a record, evaluation mode, a finite input."""

from itertools import product

import pytest
import torch
from torch import nn

import bntt
from bntt.nn.call import evaluating
from bntt.nn.network import measured
from bntt.nn.network.measured import Trace, check_finite_input
from tests.kernels import choose
from tests.rows import each_row


def test_firing_rate_is_spikes_per_neuron():
    trace = Trace(
        torch.zeros(2, 4, 3), {"conv1": torch.tensor([[8.0, 0.0], [4.0, 4.0]], dtype=torch.float64)}, {"conv1": 4}
    )
    assert trace.firing_rate["conv1"].tolist() == [0.5, 0.5]


def test_every_mode_is_restored_even_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Dropout().eval())

    def fail() -> None:
        with evaluating(net):
            raise KeyError([m.training for m in net.modules()])

    with pytest.raises(KeyError, match=r"\[False, False, False\]"):
        fail()
    assert [m.training for m in net.modules()] == [True, True, False]


@each_row("value, backend", [*product([float("nan"), float("inf"), -float("inf")], ["auto", "reference"])])
def test_a_value_that_is_not_finite_is_refused_and_named(value, backend):
    """A NaN membrane never fires: logits would be finite, and the layer silent for ever."""
    net = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=5)
    choose(net, backend=backend)
    x = torch.zeros(5, 3, 4)
    x[2, 1, 3] = value
    for call in (net, net.trace):
        with pytest.raises(ValueError, match=r"input is not finite, first at step t=2 in sample 1"):
            call(x)
    _, state = net.advance(x[:2])
    with pytest.raises(ValueError, match=r"input is not finite, first at step t=2 in sample 1"):
        net.advance(x[2:3], state)
    assert all(torch.isfinite(buffer).all() for buffer in net.buffers())


def test_one_image_for_all_steps_is_looked_at_once():
    image = torch.tensor([[[0.0, float("nan")]]])
    with pytest.raises(ValueError, match=r"step t=0 in sample 0"):
        check_finite_input(image.expand(1000, 1, 2), 0)
    check_finite_input(torch.zeros(1, 1, 2, dtype=torch.int8), 0)


def test_what_a_graph_captures_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(measured, "being_captured", lambda x: True)
    check_finite_input(torch.full((2, 1, 3), float("nan")), 0)
