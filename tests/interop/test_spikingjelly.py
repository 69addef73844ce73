"""SpikingJelly 2: norms in its networks in both step modes, batch normalisation replaced, its neurons in ours."""

import pytest
import torch
from torch import nn

import bntt
from bntt import interop
from bntt.nn import LIF, SpikingBlock
from tests.interop.peers import need
from tests.interop.test_adapters import T, check_copies, check_gradients, check_neurons, drive, losses_of, made

need("spikingjelly", "2.0.0")

from spikingjelly.activation_based import functional, layer, neuron, surrogate  # noqa: E402
from spikingjelly.activation_based.model.parametric_lif_net import CIFAR10DVSNet  # noqa: E402

from bntt.interop import spikingjelly  # noqa: E402


@pytest.mark.parametrize("name", ["bntt", "tab", "tebn", "layer"])
def test_both_step_modes_say_what_the_norm_says(name, rng):
    norm, x = made(name, rng).eval(), drive(rng)
    part = spikingjelly.Norm(norm, "m")
    assert torch.equal(part(x), norm(x)[0])
    functional.reset_net(part)
    assert torch.equal(torch.cat([part(x[:1]), part(x[1:])]), norm(x)[0])
    functional.reset_net(part)
    functional.set_step_mode(part, "s")
    assert torch.equal(torch.stack([part(now) for now in x]), norm(x)[0])
    if hasattr(norm, "num_steps"):
        with pytest.raises(ValueError, match="reset_net"):
            part(x[0])


@pytest.mark.parametrize(("mode", "name"), [("s", "tab"), ("m", "bntt")])
def test_gradients_through_both_step_modes(mode, name, rng):
    def run(norm, x):
        part = spikingjelly.Norm(norm, mode)
        return part(x) if mode == "m" else torch.stack([part(now) for now in x])

    check_gradients(name, run, rng)


def test_the_functional_forward_keeps_no_state(rng):
    from spikingjelly.activation_based import base

    part, x = spikingjelly.Norm(made("bntt", rng).eval(), "s"), drive(rng)
    take = base.to_functional_forward(part)
    (first,), state = take((x[0],), (0, None))
    (second,), state = take((x[1],), state)
    assert part.t == 0
    assert state[0] == 2
    assert torch.equal(torch.stack([first, second]), part.norm(x)[0][:2])


@pytest.mark.parametrize("mode", ["s", "m"])
def test_cifar10_dvs_network_gets_bntt_and_learns(mode, rng):
    options = {"surrogate_function": surrogate.ATan(), "detach_reset": True, "v_threshold": 0.25, "decay_input": False}
    network = CIFAR10DVSNet(channels=4, spiking_neuron=neuron.LIFNode, **options)
    functional.set_step_mode(network, mode)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1, generator=rng)
            norm.running_var.uniform_(0.5, 1.5, generator=rng)
    frames = (torch.rand(T, 4, 2, 128, 128, generator=rng) < 0.1).float()
    labels = torch.arange(4)

    def logits() -> torch.Tensor:
        functional.reset_net(network)
        return network(frames).mean(0) if mode == "m" else sum(network(now) for now in frames) / T

    before = logits_in_evaluation(network, logits)
    interop.replace_batchnorm(network, T)
    assert sum(isinstance(part, bntt.BNTT) for part in network.modules()) == 4
    assert not [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    assert torch.allclose(logits_in_evaluation(network, logits), before, atol=1e-6)
    losses = losses_of(network, lambda: nn.functional.cross_entropy(logits(), labels), 6, lr=2e-3)
    assert losses[-1] < losses[0]


def logits_in_evaluation(network: nn.Module, logits) -> torch.Tensor:
    network.eval()
    with torch.no_grad():
        found = logits()
    network.train()
    return found


def test_a_container_that_folds_time_is_refused():
    network = nn.Sequential(layer.SeqToANNContainer(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)))
    with pytest.raises(ValueError, match=r"'0\.1'"):
        interop.replace_batchnorm(network, T)
    with pytest.raises(ValueError, match="BatchNorm2d"):
        interop.replace_batchnorm(nn.Sequential(layer.BatchNormThroughTime2d(T, 3)), T)


NEURONS = {
    "lif": lambda: neuron.LIFNode(tau=20.0, decay_input=False, v_reset=None, surrogate_function=surrogate.ATan()),
    "hard": lambda: neuron.LIFNode(tau=2.0, v_reset=0.0, v_threshold=0.5),
    "plif": lambda: neuron.ParametricLIFNode(init_tau=2.0, v_reset=None),
    "if": lambda: neuron.IFNode(v_reset=-0.1),
}


@pytest.mark.parametrize("name", NEURONS)
def test_their_neurons_in_our_block_fire_as_they_do(name, rng):
    theirs, current = NEURONS[name](), torch.randn(7, 3, 5, generator=rng)
    functional.set_step_mode(theirs, "m")
    check_neurons(spikingjelly.neuron(NEURONS[name]()), theirs(current), current)
    check_copies(spikingjelly.neuron(NEURONS[name]()), current, lambda neuron: setattr(neuron, "v_threshold", 0.1))


def readout(features: int) -> bntt.Readout:
    return bntt.Readout(nn.Linear(features, 2, bias=False))


def test_the_paper_s_neurons_are_one_of_theirs(rng):
    current = torch.randn(50, 8, 16, generator=rng)
    ours, _ = LIF(leak=0.95)(current)
    theirs, _ = spikingjelly.neuron(NEURONS["lif"]())(current)
    assert torch.equal(ours, theirs)
    with pytest.raises(TypeError, match="LIF"):
        spikingjelly.neuron(LIF())


WHOLE = {
    "DSRIFNode": lambda: neuron.DSRIFNode(T=4),
    "SlidingPSN": lambda: neuron.SlidingPSN(k=2),
    "GatedLIFNode": lambda: neuron.GatedLIFNode(T=4, inplane=6),
}


@pytest.mark.parametrize("name", WHOLE)
def test_neurons_without_a_memory_between_calls_take_all_steps(name, rng):
    part, images = spikingjelly.neuron(theirs := WHOLE[name]()), name == "GatedLIFNode"
    current = 2 * torch.rand(4, 3, 6, *[1] * images * 2, generator=rng)
    spikes, state = part(current)
    functional.reset_net(theirs)
    assert torch.equal(spikes, theirs(current))
    weights = nn.Conv2d(5, 6, 1) if images else nn.Linear(5, 6)
    block = SpikingBlock(weights, bntt.BNTT(6, num_steps=4), part, nn.Flatten())
    net, x = bntt.SpikingNetwork({"a": block}, readout(6)), torch.randn(4, 3, 5, *[1] * images * 2, generator=rng)
    net(x).sum().backward()
    assert net.eval()(x).shape == (3, 2)
    for ask in (lambda: net.trace(x), lambda: net.advance(x[:2]), lambda: part(current, state=state)):
        with pytest.raises(ValueError, match=name):
            ask()
    with pytest.raises(TypeError, match="PSN"):
        spikingjelly.neuron(neuron.PSN(T=4))


def test_a_network_that_cannot_be_cut_is_not_measured_as_another(rng):
    block = SpikingBlock(nn.Linear(4, 6), bntt.BNTT(6, num_steps=4), spikingjelly.neuron(neuron.SlidingPSN(k=3)))
    model = bntt.SpikingClassifier(bntt.SequenceEncoder(4), bntt.SpikingNetwork({"a": block}, readout(6)))
    batches = [(torch.randn(5, 4, 4, generator=rng), torch.arange(5) % 2)]
    with pytest.raises(ValueError, match="SlidingPSN"):
        bntt.analysis.evaluate(model, batches)
    assert len(bntt.fit(model, batches, epochs=1).epochs) == 1
