"""What measuring is made of: a record, evaluation mode, a finite input."""

import pytest
import torch
from torch import nn

from bntt.nn.call import evaluating
from bntt.nn.network import measured
from bntt.nn.network.measured import Trace, check_finite_input


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


def test_what_a_graph_captures_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(measured, "being_captured", lambda x: True)
    check_finite_input(torch.full((2, 1, 3), float("nan")), 0)
    check_finite_input(torch.zeros(1, 1, 2, dtype=torch.int8), 0)
