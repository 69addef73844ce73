"""Pixels in, logits out; the batches that are read, with their indices and labels of any type."""

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from bntt.data import ImageSet, SampleLoader
from bntt.models import mlp, vgg6
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier, SpikingNetwork, expected, straight_through
from bntt.nn.network.labelled_batch import samples
from bntt.nn.network.spiking_network import STEPS_AT_ONCE
from tests.kernels import choose
from tests.rows import each_row


def build(encoder=None):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, seed=1)
    return SpikingClassifier(encoder or PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


@pytest.fixture
def images(rng):
    return torch.rand(5, 1, 4, 4, generator=rng)


def test_prediction_does_not_depend_on_batching(images):
    """N9 in float64: alone or together, in any order."""
    model, index = build().double().eval(), torch.arange(5)
    images = images.double()
    together = model(images, seed=3)
    alone = torch.cat([model(images[i : i + 1], seed=3, index=index[i : i + 1]) for i in range(5)])
    assert torch.allclose(together, alone, atol=1e-10)
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(model(images[order], seed=3, index=order), together[order], atol=1e-10)


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


THREE = torch.zeros(3, 1, 2, 2)
SHARES = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]
INTEGERS = [
    *(torch.tensor([2, 0, 1], dtype=kind) for kind in (torch.uint8, torch.int8, torch.int16, torch.int32)),
    *(np.array([2, 0, 1], dtype=kind) for kind in ("u1", "u2", "u4", "u8", "i4", ">i4")),
    *(np.array([1, 0, 2])[::-1], [2, 0, 1], (2, 0, 1), [torch.tensor(2), torch.tensor(0), torch.tensor(1)]),
    list(np.array([2, 0, 1], dtype="i4")),
]
FLOATS = [
    *(torch.tensor(SHARES, dtype=kind) for kind in (torch.float16, torch.float32, torch.float64)),
    *(np.array(SHARES, dtype=kind) for kind in ("f2", "f4", ">f8")),
    SHARES,
]


@each_row(
    "labels, dtype, values",
    [
        *((labels, torch.int64, [2, 0, 1]) for labels in INTEGERS),
        *((labels, torch.float32, SHARES) for labels in FLOATS),
    ],
)
def test_labels_of_any_type(labels, dtype, values, no_hook):
    ((_, found, _),) = samples([(THREE, labels)], 0)
    assert found.dtype == dtype
    assert found.tolist() == values


def test_sums_within_rounding_are_taken():
    rows = torch.full((3, 10), 0.1) + 0.9e-5
    assert torch.equal(next(samples([(THREE, rows)], 0))[1], rows)


def batches(*sizes):
    return [(torch.full((size, 1), float(i)), torch.full((size,), i)) for i, size in enumerate(sizes)]


def flat(found):
    return [(inputs.tolist(), labels.tolist(), index.tolist()) for inputs, labels, index in found]


class Plain:
    """Its epoch is a number."""

    epoch = 3

    def __len__(self):
        return 3

    def __iter__(self):
        return iter(batches(2, 3, 1))


class Draws:
    """A loader of epochs that knows of no first batch, and notes what was asked of it."""

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 3

    def epoch(self, draw):
        self.asked.append(draw)
        labelled = ((x, y.to(torch.int32)) for x, y in batches(2, 3, 1))
        return ((*pair, torch.arange(len(pair[1])) + 100 * i + draw) for i, pair in enumerate(labelled))


class Begins(Draws):
    def epoch(self, draw, *, first=0):
        self.asked.append((draw, first))
        return iter(list(super().epoch(draw))[first:])


class Anything(Draws):
    """Its parameters of that name are others'."""

    def epoch(self, draw, *first, **more):
        assert not first
        assert not more
        return super().epoch(draw)


def image_loader():
    data = ImageSet(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6) % 2, ("a", "b"))
    return SampleLoader(data, 2, shuffle=True, mix="mixup")


@each_row("first", range(4))
@each_row("loader", [lambda: batches(2, 3, 1), Plain, Draws, Anything, Begins, image_loader])
def test_a_pass_goes_on_with_the_same_samples(loader, first):
    whole = flat(samples(loader(), 7))
    assert flat(samples(loader(), 7, first)) == whole[first:]
    assert len(whole) == 3


def test_samples_are_numbered_in_order_or_by_their_loader():
    assert [index.tolist() for *_, index in samples(Plain(), 7)] == [[0, 1], [2, 3, 4], [5]]
    assert [index.tolist() for *_, index in samples(Draws(), 7)] == [[7, 8], [107, 108, 109], [207]]
    assert next(samples(Draws(), 7))[1].dtype == torch.int64
    loader = image_loader()
    expected = torch.cat([batch.indices for batch in loader.epoch(1)])
    assert torch.equal(torch.cat([index for *_, index in samples(loader, 1)]), expected)


@each_row("kind, asked", [(Draws, 7), (Anything, 7), (Begins, (7, 2))])
def test_a_loader_is_asked_to_begin_later_where_it_can(kind, asked):
    loader = kind()
    list(samples(loader, 7, 2))
    assert loader.asked[0] == asked


def test_what_a_loader_of_epochs_gives_is_looked_at_too(monkeypatch):
    loader = Draws()
    with pytest.raises(ValueError, match="3 batches"):
        list(samples(loader, 0, 4))
    monkeypatch.setattr(loader, "epoch", lambda draw: iter([(THREE, torch.zeros(3), torch.arange(3))]))
    with pytest.raises(ValueError, match="labels"):
        next(samples(loader, 0))
