"""The yardstick is the same network: logits, gradients and running statistics, written another way."""

import copy

import pytest
import torch

from bntt.bench.cases import Case, images, network
from bntt.bench.loop import PerStepLoop
from bntt.nn import PoissonEncoder


@pytest.mark.parametrize(("kind", "training"), [("vgg9", True), ("mlp", False)])
def test_it_computes_what_the_library_does_in_float64(kind, training):
    case = Case("t", network=kind, num_steps=3, batch=4, width=0.1, training=training)
    net = network(case)
    spikes = PoissonEncoder(3).spikes(images(case)[0], draw=2).double()
    loop = PerStepLoop(copy.deepcopy(net).double(), lambda pixels, t: spikes[t]).double().train(training)
    ours = net.double()
    logits = [ours(spikes), loop(images(case)[0])]
    assert torch.allclose(*logits, rtol=1e-9, atol=1e-11)
    for out in logits:
        out.square().sum().backward()
    for i, block in enumerate(ours.blocks.values()):
        weight = next(block.synapse.parameters())
        assert torch.allclose(weight.grad, next(loop.synapses[i].parameters()).grad, rtol=1e-8, atol=1e-9)
        gammas = torch.stack([norm.weight.grad for norm in loop.norms[i]])
        assert torch.allclose(block.norm.gamma.grad, gammas, rtol=1e-8, atol=1e-9)
        means = torch.stack([norm.running_mean for norm in loop.norms[i]])
        assert torch.allclose(block.norm.running_mean, means, rtol=1e-8, atol=1e-9)


def test_its_own_spikes_are_signed_and_its_draws_differ():
    from bntt.bench.loop import _signed_poisson

    state = torch.random.get_rng_state()
    pixels = torch.tensor([-2.5, 0.0, 1.0]).expand(1000, 3)
    first, second = _signed_poisson(pixels, 0), _signed_poisson(pixels, 1)
    torch.random.set_rng_state(state)  # the yardstick draws from the global generator, as released code does
    assert set(first.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert (first[:, 0] == -1).all()
    assert abs(first[:, 2].mean() - 0.5) < 0.1
    assert not torch.equal(first, second)


def test_it_lives_and_trains_where_the_network_does():
    """On the meta device, which meets no tensor of the processor."""
    net = network(Case("t", num_steps=2, batch=3, width=0.1)).to("meta")
    loop = PerStepLoop(net)
    assert {t.device.type for t in (*loop.parameters(), *loop.buffers())} == {"meta"}
    loop(torch.empty(3, 3, 32, 32, device="meta")).sum().backward()
