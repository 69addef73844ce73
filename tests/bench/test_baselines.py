"""The yardstick is the same network, written another way; the peers' networks, where the peers are installed."""

import copy

import pytest
import torch

from benchmarks import baselines
from benchmarks.baselines import BASELINES, NORMS_OF, PerStepLoop
from benchmarks.cases import Case, available, images, network, step_of
from benchmarks.parity import check_parity
from bntt.nn import NORMS, PoissonEncoder


@pytest.mark.parametrize(("kind", "training"), [("vgg9", True), ("mlp", False)])
def test_it_computes_what_the_library_does_in_float64(kind, training):
    case = Case("t", network=kind, num_steps=3, batch=4, width=0.1, training=training)
    net = network(case)
    spikes = PoissonEncoder(3).spikes(images(case)[0], draw=2).double()
    loop = PerStepLoop(copy.deepcopy(net).double(), spikes).double().train(training)
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
    state = torch.random.get_rng_state()
    pixels = torch.tensor([-2.5, 0.0, 1.0]).expand(1000, 3)
    first, second = baselines.signed_poisson(pixels), baselines.signed_poisson(pixels)
    torch.random.set_rng_state(state)  # the yardstick draws from the global generator, as released code does
    assert set(first.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert (first[:, 0] == -1).all()
    assert abs(first[:, 2].mean() - 0.5) < 0.1
    assert not torch.equal(first, second)


def test_a_baseline_refuses_norms_and_networks_that_it_does_not_have():
    """The loop, and the peers where they are installed; BNTT's time must not stand under another name."""
    for norm, kind in [*((norm, "mlp") for norm in NORMS), ("bntt", "resnet19")]:
        net = network(Case("x", network=kind, norm=norm, num_steps=2, batch=2, width=0.05))
        for name in set(BASELINES) & set(available()):
            if kind == "mlp" and norm in NORMS_OF.get(name, ("bntt",)):
                BASELINES[name](copy.deepcopy(net))
                continue
            with pytest.raises(ValueError, match="no norm of bntt"):
                BASELINES[name](net)


@pytest.mark.parametrize("name", ["spikingjelly", "spikingjelly unbind", "snntorch"])
def test_peers_compute_the_same_but_snntorch_is_another_model(name):
    pytest.importorskip(name.split()[0])
    with torch.random.fork_rng(devices=[]):  # they draw from torch's generator
        assert [row["variant"] for row in check_parity([name])] == [name] * (name != "snntorch")
        step_of(name, Case("x", num_steps=3, batch=2, width=0.1))()
