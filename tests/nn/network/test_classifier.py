"""Pixels in, logits out; and what is refused."""

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from bntt.models import mlp, vgg6
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier, SpikingNetwork, expected, straight_through
from bntt.nn.network.spiking_network import STEPS_AT_ONCE
from tests.kernels import choose


def build(encoder=None):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1)
    return SpikingClassifier(encoder or PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 4, 4, generator=rng)


def test_logits_are_the_networks_on_normalised_spikes(images):
    model = build().eval()
    spikes = model.encoder.spikes((images - 0.5) / 0.25, seed=3, draw=2)
    assert torch.equal(model(images, seed=3, draw=2), model.network(spikes))


def test_the_same_numbers_give_the_same_logits_and_others_do_not(images):
    model = build().eval()
    first = model(images, seed=3, draw=2)
    assert torch.equal(model(images, seed=3, draw=2), first)
    assert not torch.equal(model(images, seed=3, draw=3), first)
    assert not torch.equal(model(images, seed=4, draw=2), first)


def test_prediction_does_not_depend_on_batching(images):
    """N9 in float64: alone or together, in any order."""
    model, index = build().double().eval(), torch.arange(5)
    images = images.double()
    together = model(images, seed=3)
    alone = torch.cat([model(images[i : i + 1], seed=3, index=index[i : i + 1]) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-10)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(model(images[order], seed=3, index=order), together[order], atol=1e-10)


def test_training_may_stop_early_on_purpose(images):
    model = build().train()
    spikes = model.encoder(images, seed=3, draw=2, steps=range(3))
    assert torch.allclose(model(images, seed=3, draw=2, steps=3), model.network(spikes, steps=3), atol=1e-6)


class Doubled(SpikingNetwork):
    def forward(self, *args, **options):
        return 2 * super().forward(*args, **options)


@torch.no_grad()
def test_hooks_and_forwards_of_their_own_act_at_every_number_of_steps(images):
    """Where spikes would be drawn some at a time, and the network not be called as a whole."""
    steps, seen, kept = STEPS_AT_ONCE + 1, set(), {}

    def made() -> SpikingClassifier:
        network = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=steps, seed=1)
        return SpikingClassifier(PoissonEncoder(steps), network).eval()

    once = made()(images)
    assert once.abs().max() > 0
    model = made()
    model.network.__class__ = Doubled
    assert torch.allclose(model(images), 2 * once, atol=1e-6)
    model.network.register_forward_hook(lambda module, given, logits: -logits)
    assert torch.allclose(model(images), -2 * once, atol=1e-6)
    model = made()
    own = model.network.forward
    model.network.forward = lambda *given, **options: 2 * own(*given, **options)
    assert torch.allclose(model(images), 2 * once, atol=1e-6), "a forward of the object's own"
    model = made()
    model.network.blocks["fc1"].lif.register_forward_hook(lambda module, given, out: kept.update(fc1=out[0]))
    model.network.register_forward_pre_hook(lambda module, given: kept.update(first=given[0]))
    model(images)
    assert len(kept["fc1"]) == steps, "a hook in the network gets all steps too"
    assert kept["first"].is_floating_point()
    handle = register_module_forward_hook(lambda module, given, out: seen.add(type(module)))
    made()(images)
    handle.remove()
    assert SpikingNetwork in seen, "a hook of all modules"


def test_mean_and_std_are_the_encoders():
    state = build().state_dict()
    assert {name for name in state if not name.startswith("network.")} == {"encoder.mean", "encoder.std"}


def test_an_encoder_of_fewer_steps_is_taken_on_purpose(images):
    model = build()
    model.encoder = DirectEncoder(2)
    assert model(images, steps=2).shape == (5, 3)
    assert len(model.trace(images, steps=2).logits) == 2


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_gradients_reach_the_pixels_through_an_estimator(backend, images):
    """The chain rule by hand: what the spikes get, summed over time, by the estimator's factor and 1 / std."""
    model = build(PoissonEncoder(4, mean=[0.5], std=[0.25], gradient=expected)).eval()
    choose(model.network, backend=backend)
    asking = images.clone().requires_grad_()
    model(asking, seed=3).square().sum().backward()
    x = model.encoder.normalized(images)
    spikes = model.encoder.spikes(x, seed=3).requires_grad_()
    model.network(spikes).square().sum().backward()
    assert asking.grad.abs().max() > 0
    assert torch.allclose(asking.grad, spikes.grad.sum(0) * expected(x, True) / 0.25, atol=1e-6)


@pytest.mark.parametrize("layout", ["channels_last", "non-contiguous", "requires_grad"])
def test_memory_layout_does_not_matter(layout, rng):
    """Fault 48."""
    net = vgg6(width=0.25, num_steps=2, in_channels=2, image_size=8)  # in training: fresh statistics silence it
    model = SpikingClassifier(PoissonEncoder(2, gradient=straight_through), net)
    images = torch.rand(3, 2, 8, 8, generator=rng)
    other = {
        "channels_last": images.contiguous(memory_format=torch.channels_last),
        "non-contiguous": images.transpose(2, 3).contiguous().transpose(2, 3),
        "requires_grad": images.clone().requires_grad_(),
    }[layout]
    want = model(images)
    assert want.abs().max() > 0
    assert torch.allclose(model(other), want, atol=1e-6)
