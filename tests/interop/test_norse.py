"""Norse 1: norms in its sequential and lifted networks, batch normalisation replaced, its cells in our blocks."""

import pytest
import torch
from torch import nn

from bntt import interop
from tests.interop.peers import need
from tests.interop.test_adapters import T, check_copies, check_gradients, check_neurons, drive, losses_of, made

need("norse", "1.1.0")

import norse.torch as norse  # noqa: E402

from bntt.interop import norse as ours  # noqa: E402


@pytest.mark.parametrize("name", ["bntt", "layer"])
def test_sequential_and_lifted_networks_carry_the_state(name, rng):
    norm, x = made(name, rng).eval(), drive(rng)
    network = norse.SequentialState(interop.as_cell(norm), norse.LIFCell())
    lifted = norse.Lift(network)
    spikes, state = [], None
    for now in x:
        one, state = network(now, state)
        spikes.append(one)
    cell, expected, rest = norse.LIFCell(), [], None
    for now in norm(x)[0]:
        one, rest = cell(now, rest)
        expected.append(one)
    assert torch.equal(torch.stack(spikes), torch.stack(expected))
    assert torch.equal(lifted(x)[0], torch.stack(expected))
    whole, _ = norse.SequentialState(interop.as_cell(norm, sequence=True), norse.LIF())(x)
    assert torch.equal(whole, torch.stack(expected))


def test_gradients_through_a_lifted_network(rng):
    check_gradients("tab", lambda norm, x: norse.Lift(norse.SequentialState(interop.as_cell(norm)))(x)[0], rng)


@pytest.mark.parametrize("form", ["cells", "lifted"])
def test_batch_normalisation_of_its_networks_is_replaced_and_they_learn(form, rng):
    conv, norm, last = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Linear(24, 2)
    if form == "cells":
        network = norse.SequentialState(conv, norm, norse.LIFCell(), nn.Flatten(), last, norse.LICell())
        run = norse.Lift(network)
    else:
        parts = norse.Lift(conv), norse.Lift(norm), norse.LIF(), nn.Flatten(2), norse.Lift(last), norse.LI()
        network = run = norse.SequentialState(*parts)
    x, labels = drive(rng) * 3, torch.tensor([0, 1, 0, 1, 1])
    network.eval()
    before = run(x)[0]
    interop.replace_batchnorm(network, T)
    assert torch.allclose(run(x)[0], before, atol=1e-6)
    network.train()
    losses = losses_of(network, lambda: nn.functional.cross_entropy(run(x)[0].mean(0), labels), 8, lr=1e-2)
    assert losses[-1] < losses[0]
    with pytest.raises(ValueError, match="has 4 time steps"):
        run(drive(rng, steps=T + 1))


def test_its_cells_in_our_block_fire_as_they_do(rng):
    cell = norse.LIFCell(p=norse.LIFParameters(v_th=torch.tensor(0.1)))
    current, expected, state = torch.randn(7, 3, 5, generator=rng), [], None
    for now in current:
        one, state = cell(now, state)
        expected.append(one)
    check_neurons(ours.neuron(cell), torch.stack(expected), current)
    low = norse.LIFParameters(v_th=torch.tensor(0.01))
    check_copies(ours.neuron(norse.LIFRecurrentCell(6, 6)), current, lambda neuron: setattr(neuron, "p", low))
    with pytest.raises(TypeError, match="LIF"):
        ours.neuron(norse.LIF())
