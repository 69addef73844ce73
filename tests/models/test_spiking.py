"""Names become values once, in the builder."""

import math
import threading
import time
from unittest.mock import patch

import pytest
import torch
from torch import nn

from bntt.engine.compute import Compute
from bntt.models import compact, dvs_cnn, mlp, resnet19, resnet20, vgg6, vgg9
from bntt.models.spiking import scaled
from bntt.nn import (
    LIF,
    NORMS,
    TDBN,
    ArcTan,
    NoNorm,
    NormMethod,
    TemporalNorm,
    Triangle,
    Window,
    fire_after,
    fire_before,
    hard_reset,
)
from bntt.nn.fuse import fused_norms, fused_parts
from bntt.nn.kinds import NEURONS, NeuronFacts, neuron_facts_by_name, norm_facts_by_name
from tests.rows import each_row


def test_names_become_values():
    net = mlp(num_steps=2, fire="before", reset="hard", surrogate="arctan", threshold=0.5, leak=0.7)
    lif = net.blocks["fc1"].lif.neuron
    assert (lif.rule, lif.reset, lif.surrogate) == (fire_before, hard_reset, ArcTan())
    assert (lif.threshold, lif.leak) == (0.5, 0.7)
    net = mlp(num_steps=2, fire=fire_before, surrogate_scale=1.5, norm=lambda channels, num_steps, threshold: NoNorm())
    lif = net.blocks["fc2"].lif.neuron
    assert (lif.rule, lif.surrogate) == (fire_before, Triangle(1.5)), "values are taken as they are"
    assert isinstance(net.blocks["fc2"].norm, NoNorm)


class Own(LIF):
    """Neurons of one's own on those of the library, which learn no leak."""


class Delayed(LIF):
    """Neurons of one's own with a row of numbers for each of two steps or more."""

    def __init__(self, channels, num_steps):
        super().__init__()
        if num_steps < 2:
            raise ValueError("a delay of one step needs two")


class Grouped(LIF):
    """Neurons of one's own for multiples of eight channels."""

    def __init__(self, channels):
        super().__init__()
        nn.GroupNorm(8, channels)


class Drawn(nn.Module):
    """Neurons of one's own that begin with random numbers."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(channels))

    def forward(self, current, call=None, state=None):
        return (current > self.bias).to(current.dtype), None


class Plain(nn.Module):
    """Neurons of one's own that fire where the current is above half, and tell what they do."""

    facts = property(lambda self: NeuronFacts(spikes=False))

    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Linear(channels, channels)
        nn.init.zeros_(self.gate.weight)

    def forward(self, current, call=None, state=None):
        return (current > 0.5).to(current.dtype), None


@pytest.fixture
def own():
    with patch.dict(NEURONS):
        NEURONS("own")(Plain)
        NEURONS("own-spikes")(Drawn)
        NEURONS("own-lif")(Own)
        yield


def test_neurons_of_ones_own_are_made_and_begin_as_they_say(own):
    net = mlp(in_features=4, hidden=(8,), num_steps=2, neuron="own-lif", leak=0.5, threshold=2.0)
    assert (type(net.blocks["fc1"].lif), net.blocks["fc1"].lif.neuron.threshold) == (Own, 2.0)
    assert mlp(num_steps=2, neuron="own-lif", learn_leak=True).blocks["fc1"].lif.leak_logit.shape == ()
    assert not neuron_facts_by_name("own").spikes, "what it makes says so, not its class"
    net = mlp(in_features=4, hidden=(8,), num_steps=1, neuron="own", norm="none")
    assert net.blocks["fc1"].lif.gate.weight.abs().max() == 0, "only synapses are drawn"
    largest = float(net.blocks["fc1"].synapse[-1].weight.detach().abs().max())
    assert largest == pytest.approx(math.sqrt(2) * math.sqrt(6 / 12), rel=0.2), "the gain of neurons that do not spike"
    one, same, other = (mlp(hidden=(8, 8), num_steps=2, neuron="own-spikes", seed=seed) for seed in (1, 1, 2))
    biases = [net.blocks[name].lif.bias for net in (one, same, other) for name in ("fc1", "fc2")]
    assert torch.equal(biases[0], biases[2]), "the seed's"
    assert not any(torch.equal(biases[0], biases[i]) for i in (1, 4)), "other layers and seeds have others"
    options = {"surrogate": "arctan", "threshold": 2.0, "norm": "tdbn", "fire": "before", "neuron": "relu"}
    assert isinstance(mlp(num_steps=1, **options).blocks["fc1"].norm, TDBN), "an ANN ignores what spikes have"
    own = mlp(num_steps=2, neuron="own-spikes", norm="tdbn", threshold=2.0)
    assert own.blocks["fc1"].norm.scale == 2.0, "the norm takes it"
    assert mlp(num_steps=2, neuron="own-spikes", fire=fire_after), "as it is by default"
    counts = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=2, readout="spikes", learn_leak="channel")
    assert counts.readout.lif.leak_logit is None


def test_any_seed_of_a_recipe_makes_parts_that_draw(own):
    for seed in (20_251_130_120_000, 2**63 - 1):
        one, same = (mlp(hidden=(8,), num_steps=2, neuron="own-spikes", seed=seed) for _ in range(2))
        assert torch.equal(one.blocks["fc1"].lif.bias, same.blocks["fc1"].lif.bias)


def test_threads_borrow_the_global_generator_one_after_another(own):
    inside, most = [], []

    def slow(channels):
        inside.append(channels)
        most.append(len(inside))
        time.sleep(0.005)
        return Drawn(inside.pop())

    NEURONS("slow")(slow)
    before = torch.get_rng_state()
    threads = [threading.Thread(target=mlp, kwargs={"hidden": (8,), "num_steps": 2, "neuron": "slow"}) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) >= 4
    assert torch.equal(torch.get_rng_state(), before)


def test_neurons_of_sizes_of_their_own_make_a_network(own):
    NEURONS("two-steps")(lambda channels, num_steps: Delayed(channels, num_steps))
    NEURONS("eights")(lambda channels: Grouped(channels))
    assert mlp(hidden=(8,), num_steps=3, neuron="two-steps").num_steps is not None
    assert fused_parts()["eights"].startswith("not known")


@patch.dict(NORMS)
def test_facts_are_of_a_norm_with_many_steps_and_channels():
    NORMS("wide")(lambda channels, num_steps: TemporalNorm(channels, num_steps, NormMethod("Wide", pooling=Window(3))))
    NORMS("groups")(lambda channels: nn.GroupNorm(8, channels))
    NORMS("tens")(lambda channels: nn.GroupNorm(10, channels))
    assert norm_facts_by_name("wide").step_gamma
    assert not norm_facts_by_name("groups").step_gamma
    assert not norm_facts_by_name("tens").step_gamma
    assert fused_norms()["wide"].startswith("not known")


@each_row(
    "call, named",
    [
        (lambda: mlp(norm="bnnt"), "bnnt.*bntt, bntt-scaled, tdbn"),
        (lambda: mlp(fire="sometimes"), "fire.*sometimes"),
        (lambda: mlp(reset="none"), "reset.*none"),
        (lambda: mlp(surrogate="sin"), "surrogate.*sin"),
        (lambda: mlp(neuron="relu6"), "neuron.*relu6"),
        (lambda: mlp(learn_leak="neuron"), "learn_leak.*neuron"),
        (lambda: mlp(readout="count"), "readout.*count"),
        (lambda: mlp(norm_eps=-1e-4), "norm_eps"),
        (lambda: mlp(norm_eps=0.1, norm="none"), "norm_eps.*NoNorm"),
        (lambda: mlp(surrogate_scale=-1.0), "surrogate_scale"),
        (lambda: mlp(surrogate_scale=1.0, surrogate="arctan"), "scale"),
        (lambda: mlp(neuron="own-spikes", fire="before"), "fire.*own-spikes"),
        (lambda: mlp(neuron="own", learn_leak=True, num_steps=1), "learn_leak.*own"),
        (lambda: mlp(neuron="relu", num_steps=2), "num_steps=2"),
        (lambda: mlp(neuron="relu", num_steps=1, learn_leak=True), "learn_leak.*relu"),
        (lambda: mlp(neuron="relu", num_steps=1, decay_input=True), "decay_input.*relu"),
        (lambda: mlp(neuron="relu", num_steps=1, norm="none", readout="spikes"), "readout"),
        (lambda: mlp(treshold=1.0), "treshold"),
        (lambda: mlp(in_features=0), "in_features"),
        (lambda: mlp(hidden=()), "hidden"),
        (lambda: mlp(num_classes=0), "num_classes"),
        *((lambda width=width: vgg6(width=width), "width") for width in (0.0, -1.0, math.inf, math.nan)),
        *((lambda build=build: build(in_channels=0), "in_channels") for build in (vgg6, dvs_cnn, compact, resnet19)),
        *((lambda size=size: vgg9(image_size=size), f"image_size={size}.*8") for size in (30, 0, -8)),
        (lambda: dvs_cnn(image_size=3), "image_size=3.*4"),
        (lambda: compact(width=0.25).eval()(torch.ones(2, 1, 3, 7, 9)), r"'pair3\.after'.*AvgPool2d"),
        (lambda: resnet20(residual="pre"), "residual.*pre"),
        (lambda: resnet20(residual="sew", alpha_at_sums=1.0), "alpha_at_sums.*sew"),
        (lambda: resnet19(num_classes=0), "num_classes"),
        (lambda: resnet20(dropout=1), "dropout"),
        (lambda: NEURONS("more")(lambda channels, **options: LIF(**options)), "'more'.*options"),
    ],
)
def test_what_builders_refuse(call, named, own, no_hook):
    with pytest.raises((ValueError, TypeError, RuntimeError), match=named):
        call()


@each_row("channels, width, expected", [(64, 1.0, 64), (64, 0.25, 16), (10, 0.25, 2), (3, 0.1, 1)])
def test_scaled(channels, width, expected):
    assert scaled(channels, width) == expected


def test_the_papers_sequential_mnist_network():
    """FC(1,256)-FC(256,256)-FC(256,10), 784 steps: 401,408 γ."""
    net = mlp()
    assert sum(block.norm.gamma.numel() for block in net.blocks.values()) == 401_408
    assert sum(p.numel() for p in net.parameters()) - 401_408 == 256 + 256 * 256 + 256 * 10


def test_a_leak_is_learned_by_layer_or_channel():
    for learn, shape in ((True, ()), ("layer", ()), ("channel", (256,))):
        leaks = {name: p.shape for name, p in mlp(num_steps=2, learn_leak=learn).named_parameters() if "leak" in name}
        assert leaks == dict.fromkeys(("blocks.fc1.lif.leak_logit", "blocks.fc2.lif.leak_logit"), shape)


def test_a_readout_that_counts_spikes(rng):
    net = vgg6(num_steps=3, readout="spikes", width=0.125)
    x = torch.randint(0, 2, (3, 2, 1, 28, 28), generator=rng).float()
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.weight.mul_(8)
    counts = (3 * net(x)).detach()
    assert set(counts.flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert counts.any()


def test_epsilon_is_of_every_norm_that_has_one(rng):
    assert {block.norm.eps for block in mlp(num_steps=2, norm_eps=1e-5).blocks.values()} == {1e-5}
    assert {block.norm.eps for block in mlp(num_steps=2, norm="layer", norm_eps=1e-3).blocks.values()} == {1e-3}
    assert {block.norm.eps for block in mlp(num_steps=2).blocks.values()} == {1e-4}
    for norm in ("layer", "bntt", "tdbn"):  # plain and fused it acts, and is not only kept
        plain, fused, other = (mlp(in_features=784, num_steps=3, norm=norm, norm_eps=eps) for eps in (0.5, 0.5, 1e-4))
        plain.compute, x = Compute("reference"), torch.randint(0, 2, (3, 4, 784), generator=rng).float()
        assert torch.allclose(plain(x), fused(x), atol=1e-5)
        assert not torch.allclose(fused(x), other(x), atol=1e-2)
