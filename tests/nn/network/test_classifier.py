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


def test_trace_ends_with_the_forwards_logits(images):
    model = build().double().eval()
    images = images.double()
    assert torch.allclose(model.trace(images, seed=3, draw=2).logits[-1], model(images, seed=3, draw=2), atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_stopping_early_on_purpose_draws_the_first_steps(images, training):
    model = build().train(training)
    spikes = model.encoder(images, seed=3, draw=2, steps=range(3))
    assert torch.allclose(model(images, seed=3, draw=2, steps=3), model.network(spikes, steps=3), atol=1e-6)
    if not training:
        assert torch.allclose(
            model(images, seed=3, draw=2, steps=3), model.trace(images, seed=3, draw=2).logits[2], atol=1e-6
        )
    with pytest.raises(ValueError, match=r"the encoder has 4 time steps \(0-3\), got range"):
        model(images, steps=6)


def test_a_hook_on_the_network_and_a_forward_of_its_own_act_at_every_number_of_steps(images):
    class Doubled(SpikingNetwork):
        def forward(self, *args, **options):
            return 2 * super().forward(*args, **options)

    network = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=STEPS_AT_ONCE + 1, seed=1)
    model = SpikingClassifier(PoissonEncoder(network.num_steps), network).eval()
    with torch.no_grad():
        once = model(images)
        network.__class__ = Doubled
        assert torch.allclose(model(images), 2 * once, atol=1e-6)
        network.register_forward_hook(lambda module, given, logits: -logits)
        assert torch.allclose(model(images), -2 * once, atol=1e-6)
    assert once.abs().max() > 0
    kept, steps = {}, STEPS_AT_ONCE + 1
    model = SpikingClassifier(PoissonEncoder(steps), mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=steps))
    model.network.blocks["fc1"].lif.register_forward_hook(lambda module, given, out: kept.update(fc1=out[0]))
    model.network.register_forward_pre_hook(lambda module, given: kept.update(first=given[0]))
    with torch.no_grad():
        model.eval()(images)
    assert len(kept["fc1"]) == steps, "a hook in the network gets all steps too"
    assert kept["first"].is_floating_point()
    net, seen = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=steps), set()
    plain = SpikingClassifier(PoissonEncoder(steps), net).eval()
    with torch.no_grad():
        once, own = plain(images), plain.network.forward
        plain.network.forward = lambda *given, **options: 2 * own(*given, **options)
        assert torch.allclose(plain(images), 2 * once, atol=1e-6), "a forward of the object's own"
        del plain.network.forward
        handle = register_module_forward_hook(lambda module, given, out: seen.add(type(module)))
        plain(images)
        handle.remove()
    assert SpikingNetwork in seen, "a hook of all modules"


def test_images_that_were_not_selected_with_the_state_are_noticed(images):
    model = build().eval()
    _, state = model.advance(images)
    with pytest.raises(ValueError, match="the state is of 2 samples, the input of 5: select the same rows of both"):
        model.advance(images, state.rows(torch.tensor([0, 3])))


def test_what_the_encoder_refuses_is_refused():
    for call in (build(), build().trace, build().advance):
        with pytest.raises(TypeError, match="divide by 255"):
            call(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


def test_mean_and_std_are_the_encoders():
    state = build().state_dict()
    assert {name for name in state if not name.startswith("network.")} == {"encoder.mean", "encoder.std"}


def test_encoder_and_network_must_have_the_same_steps(images):
    with pytest.raises(ValueError, match="num_steps=4 and the network num_steps=7"):
        SpikingClassifier(PoissonEncoder(4), vgg6(num_steps=7))
    model = build()
    model.encoder = DirectEncoder(2)
    with pytest.raises(ValueError, match="num_steps=2 and the network num_steps=4"):
        model(images)
    with pytest.raises(ValueError, match="num_steps=2 and the network num_steps=4"):
        model.trace(images)
    assert model(images, steps=2).shape == (5, 3), "on purpose"
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
    with pytest.raises(ValueError, match="the images ask for a gradient"):
        build()(asking)


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


def test_an_encoder_must_return_the_steps_that_are_asked_for(images):
    class Whole:
        num_steps = 4

        def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
            return x.flatten(1).expand(4, -1, -1)

    model = SpikingClassifier(Whole(), build().network).eval()
    assert model(images).shape == (5, 3)
    with pytest.raises(ValueError, match=r"a Whole, must return \[1, 5, \.\.\.\] for 1 steps of 5 samples"):
        model.advance(images, steps=1)
