"""Norse 1: norms in its sequential and lifted networks, batch normalisation replaced, its cells in our blocks."""

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from bntt.nn import SpikingBlock
from tests.interop.peers import need
from tests.interop.test_adapters import T, check_copies, drive, losses_of, made

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
    whole, x, apply_weights = made("tab", rng, torch.float64), drive(rng, torch.float64), drive(rng, torch.float64)
    part = made("tab", rng, torch.float64)
    part.load_state_dict(whole.state_dict())
    leaf = x.clone().requires_grad_()
    (whole(x.requires_grad_())[0] * apply_weights).sum().backward()
    (norse.Lift(norse.SequentialState(interop.as_cell(part)))(leaf)[0] * apply_weights).sum().backward()
    assert torch.allclose(leaf.grad, x.grad, rtol=0, atol=1e-12)
    assert torch.allclose(part.gamma.grad, whole.gamma.grad, rtol=0, atol=1e-11)


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
    part = ours.neuron(cell)
    first, state = part(current[:2])
    assert torch.equal(torch.cat([first, part(current[2:], state=state)[0]]), torch.stack(expected))
    assert torch.stack(expected).mean() > 0.02
    block = SpikingBlock(nn.Linear(5, 6), bntt.BNTT(6, num_steps=7), part)
    net = bntt.SpikingNetwork({"a": block}, bntt.Readout(nn.Linear(6, 2, bias=False))).eval()
    _, state = net.advance(current[:4])
    kept = state.rows(torch.tensor([2, 0]))
    assert torch.allclose(net.advance(current[4:, [2, 0]], kept)[0][-1], net(current)[[2, 0]], atol=1e-6)
    low = norse.LIFParameters(v_th=torch.tensor(0.01))
    check_copies(ours.neuron(norse.LIFRecurrentCell(6, 6)), current, lambda neuron: setattr(neuron, "p", low))
    with pytest.raises(TypeError, match="are its cells, such as LIFCell"):
        ours.neuron(norse.LIF())
