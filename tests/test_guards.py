"""The guards of tests/conftest.py are on."""

import socket

import pytest
import torch
from jaxtyping import TypeCheckError

import bntt
from bntt.ops.norm import step_moments, update_running
from bntt.training import cross_entropy


def test_a_wrong_shape_raises():
    with pytest.raises(TypeCheckError, match="step_moments"):
        step_moments(torch.zeros(3))
    with pytest.raises(TypeCheckError, match="labels"):
        cross_entropy(torch.zeros(2, 3), [0, 1])


def test_axes_of_one_name_must_be_of_one_size():
    moments = step_moments(torch.zeros(2, 4, 5))
    with pytest.raises(TypeCheckError, match="running_var"):
        update_running(torch.zeros(2, 5), torch.zeros(3, 5), moments, 0.1)


def test_a_wrong_type_raises_and_an_int_is_a_float():
    with pytest.raises(TypeCheckError, match="leak"):
        bntt.LIF("0.9")
    assert bntt.LIF(1, 2).neuron.threshold == 2.0


def test_unset_memory_is_nan():
    assert torch.empty(100).isnan().all()


def test_the_network_is_closed():
    with socket.socket() as closed, pytest.raises(OSError, match="tests do not use the network"):
        closed.connect(("192.0.2.1", 80))
