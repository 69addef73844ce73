"""Prepared weights belong to this weight and this bias at this version, and to nobody before they are finished."""

import copy
import pickle

import torch
from torch import nn

from bntt.engine import synapse as synapse_module
from bntt.engine.synapse import BIASES, Geometry, Prepared, Spikes, Synapse, weights_changed
from tests.kernels import needs_kernels
from tests.rows import each_row


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


def of(held: Prepared, weight: nn.Parameter, bias: nn.Parameter | None = None) -> Synapse:
    return held.synapse(weight, bias, Geometry(), "fp32")


def test_a_weight_with_two_biases_is_two_synapses():
    held, weight, biases = Prepared(), parameter(2, 4), [parameter(2), parameter(2)]
    found = [of(held, weight, bias) for bias in biases]
    assert found[0] is not found[1]
    assert [of(held, weight, bias) for bias in biases] == found


CHANGES = {
    "in place": lambda weight: weight.add_(1),
    "another storage": lambda weight: weight.set_(torch.zeros(weight.shape)),
    "told": lambda weight: weights_changed(),
    "swapped": lambda weight: torch.utils.swap_tensors(weight, nn.Parameter(torch.zeros(weight.shape))),
}


@each_row("kind", CHANGES)
@each_row("which", [0, 1])
def test_a_change_of_weight_or_bias_makes_it_anew(which, kind):
    held, given = Prepared(), (parameter(2, 4), parameter(2))
    before = of(held, *given)
    with torch.no_grad():
        CHANGES[kind](given[which])
    assert of(held, *given) is not before


def test_biases_that_were_replaced_do_not_add_up():
    held, weight, last = Prepared(), parameter(2, 4), parameter(2)
    for _ in range(3 * BIASES):
        of(held, weight, parameter(2))
    kept = of(held, weight, last)
    assert of(held, weight, last) is kept
    assert len(held._held) == BIASES


def test_a_tensor_of_one_pass_is_not_kept():
    held, weight = Prepared(), torch.ones(2, 4)
    assert held.synapse(weight, None, Geometry(), "fp32") is not held.synapse(weight, None, Geometry(), "fp32")
    with torch.inference_mode():
        weight = parameter(2, 4)
    assert of(held, weight) is not of(held, weight)


def test_a_copy_begins_without_any():
    held, weight = Prepared(), parameter(2, 4)
    first = of(held, weight)
    for other in (copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
        assert of(other, weight) is not first


@needs_kernels
def test_packed_weights_are_seen_when_they_are_finished(monkeypatch):
    weights, real, looked = Synapse(torch.ones(8, 8), None, Geometry()), synapse_module.call, []

    def call(function, *arguments):
        if function == "bntt_pack":
            looked.append(len(weights._packed))
        real(function, *arguments)

    monkeypatch.setattr(synapse_module, "call", call)
    counts = Spikes(torch.ones(1, 1, 1, 1, 8, dtype=torch.uint8))
    assert weights.forward(counts, events=True).flatten().tolist() == [8.0] * 8
    assert looked == [0]
