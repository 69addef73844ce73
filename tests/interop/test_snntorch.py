"""snnTorch 1: norms in its loops, a tutorial's network with batch normalisation replaced, its neurons in our blocks."""

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from tests.interop.peers import need
from tests.interop.test_adapters import T, check_copies, check_neurons, drive, losses_of, made

need("snntorch", "1.0.0")

import snntorch as snn  # noqa: E402

from bntt.interop import snntorch  # noqa: E402


def test_a_norm_in_the_place_of_its_list_of_norms(rng):
    """``bn[t](x)`` with the weights of ``snn.BatchNormTT2d``, forward and gradients."""
    theirs = snn.BatchNormTT2d(3, T, eps=1e-4)
    norm, x, apply_weights = made("bntt", rng), drive(rng), drive(rng)
    for t, step in enumerate(theirs):
        step.load_state_dict(
            {"weight": norm.gamma[t], "running_mean": norm.running_mean[t], "running_var": norm.running_var[t]},
            strict=False,
        )
    assert len(theirs) == len(norm)
    for mode in (True, False):
        found = []
        for bn in (theirs.train(mode), norm.train(mode)):
            leaf = x.clone().requires_grad_()
            y = torch.stack([bn[t](leaf[t]) for t in range(len(bn))])
            (y * apply_weights).sum().backward()
            found += [y, leaf.grad]
        assert torch.allclose(found[0], found[2], atol=2e-6)
        assert torch.allclose(found[1], found[3], atol=2e-6)
    assert torch.allclose(norm.running_var, torch.stack([bn.running_var for bn in theirs]), atol=1e-6)


class Tutorial(nn.Module):
    """The convolutional network of snnTorch's sixth tutorial, with batch normalisation, and its loop in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1, self.lif1 = nn.Conv2d(1, 12, 5), nn.BatchNorm2d(12), snn.Leaky(beta=0.5)
        self.conv2, self.bn2, self.lif2 = nn.Conv2d(12, 64, 5), nn.BatchNorm2d(64), snn.Leaky(beta=0.5)
        self.fc1, self.lif3 = nn.Linear(64 * 4 * 4, 10), snn.Leaky(beta=0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mem1, mem2, mem3, total = self.lif1.reset_mem(), self.lif2.reset_mem(), self.lif3.reset_mem(), 0
        for _ in range(T):
            spk1, mem1 = self.lif1(nn.functional.max_pool2d(self.bn1(self.conv1(x)), 2), mem1)
            spk2, mem2 = self.lif2(nn.functional.max_pool2d(self.bn2(self.conv2(spk1)), 2), mem2)
            _, mem3 = self.lif3(self.fc1(spk2.flatten(1)), mem3)
            total = total + mem3
        return total / T


def test_a_tutorial_s_network_gets_bntt_and_learns():
    network, images = Tutorial().eval(), bntt.data.fashion_mnist_bundled().test
    x, labels = images.batch(torch.arange(16)), images.labels[:16]
    before = network(x).detach()
    interop.replace_batchnorm(network, T, loop="inside")
    assert torch.allclose(network(x), before, atol=1e-5)
    network.train()
    losses = losses_of(network, lambda: nn.functional.cross_entropy(network(x), labels), 6, lr=1e-2)
    assert losses[-1] < 0.8 * losses[0]


def test_neurons_that_hide_their_membranes_begin_anew_with_the_norms():
    """A sequence of modules, whose loop is around it."""
    lif = snn.Leaky(beta=0.5, init_hidden=True, output=True)
    network = nn.Sequential(nn.Linear(784, 10), nn.BatchNorm1d(10), lif).eval()
    x = bntt.data.fashion_mnist_bundled().test.batch(torch.arange(16)).flatten(1)

    def logits() -> torch.Tensor:
        interop.reset(network)
        return sum(network(x)[1] for _ in range(T)) / T

    before = logits().detach()
    interop.replace_batchnorm(network, T)
    for _ in range(2):
        assert torch.allclose(logits(), before, atol=1e-5)


NEURONS = {
    "leaky": lambda: snn.Leaky(beta=0.9),
    "at once": lambda: snn.Leaky(beta=0.9, reset_delay=False, reset_mechanism="zero"),
    "synaptic": lambda: snn.Synaptic(alpha=0.5, beta=0.9, learn_beta=True),
}


@pytest.mark.parametrize("name", NEURONS)
def test_its_neurons_in_our_block_fire_as_they_do(name, rng):
    theirs, expected = NEURONS[name](), []
    current, state = torch.randn(7, 3, 5, generator=rng), theirs.reset_mem()
    state = state if isinstance(state, tuple) else (state,)
    for now in current:
        one, *state = theirs(now, *state)
        expected.append(one)
    check_neurons(snntorch.neuron(NEURONS[name]()), torch.stack(expected), current)
    check_copies(snntorch.neuron(NEURONS[name]()), current, lambda neuron: neuron.threshold.fill_(0.1))


def test_neurons_that_hide_their_membrane_are_refused():
    with pytest.raises(ValueError, match="init_hidden"):
        snntorch.neuron(snn.Leaky(beta=0.9, init_hidden=True))
    with pytest.raises(TypeError, match="ReLU"):
        snntorch.neuron(nn.ReLU())
