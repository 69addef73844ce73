"""Batches from which samples leave are merged into full ones, with the bits that samples have in any other."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bntt.analysis.exit import early_exit
from bntt.analysis.exit.early_exit import exit_each
from bntt.data import ImageSet, SampleLoader
from bntt.engine.compute import Compute
from bntt.engine.graph import layer
from bntt.models import mlp
from bntt.nn import (
    BNTT,
    LIF,
    DirectEncoder,
    PoissonEncoder,
    Readout,
    SpikingBlock,
    SpikingClassifier,
    SpikingNetwork,
)
from tests.kernels import needs_kernels

T, SAMPLES, BATCH = 6, 41, 3
pytestmark = needs_kernels


class Summed(nn.Module):
    """A readout whose bits are the same in a batch of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 64, generator=torch.Generator().manual_seed(1)))

    def forward(self, x, call, state=None):
        steps = (x[:, :, None] * self.weight).sum(-1).cumsum(0)
        steps = steps if state is None else steps + state
        return steps, steps[-1]


@pytest.fixture
def shown(rng, monkeypatch):
    """A model, its samples in batches, and the numbers of samples of its calls."""
    pixels = torch.randint(0, 256, (SAMPLES, 1, 4, 4), generator=rng, dtype=torch.uint8)
    data, asked = ImageSet(pixels, torch.arange(SAMPLES) % 3, ("a", "b", "c")), []
    net = mlp(in_features=16, hidden=(64, 64), num_classes=3, num_steps=T, seed=1)
    net.compute, net.readout = Compute("cpu", events="fixed"), Summed()
    model = SpikingClassifier(PoissonEncoder(T, mean=[0.5], std=[0.25]), net)
    real = SpikingClassifier.advance

    def advance(self, x, *args, **kwargs):
        asked.append(len(x))
        return real(self, x, *args, **kwargs)

    monkeypatch.setattr(SpikingClassifier, "advance", advance)
    return model, SampleLoader(data, BATCH), asked


def test_merged_batches_give_the_bits_of_batches_alone_in_few_calls(shown, monkeypatch):
    model, batches, asked = shown
    found = exit_each(model, batches, "margin", 0.9, seed=5, draws=2)
    assert len(asked) <= 2 * T, "all samples of a draw fit together"
    assert max(asked) == SAMPLES
    asked.clear()
    monkeypatch.setattr(early_exit, "samples_at_once", lambda *args: 0)
    alone = exit_each(model, batches, "margin", 0.9, seed=5, draws=2)
    assert max(asked) == BATCH
    assert all(torch.equal(getattr(found, name), getattr(alone, name)) for name in ("classes", "steps", "spikes"))
    assert len(set(found.steps.tolist())) > 3


def test_merged_batches_fill_the_memory_of_a_step_and_no_more(shown, monkeypatch):
    model, batches, asked = shown
    monkeypatch.setattr(layer, "CHUNK_BYTES", 4 * 64 * 8)
    exit_each(model, batches, "margin", 0.9)
    assert max(asked) == 6, "eight samples fill it: two batches of three"


class LastInput(nn.Module):
    """A block whose state is a view of its input; images of any size become 4x4."""

    layers = ()

    def forward(self, x, call=None, state=None):
        first = torch.zeros_like(x[:1]) if state is None else state[None]
        late = torch.cat([first, x[:-1]])
        return F.adaptive_avg_pool2d(late.flatten(0, 1), 4).view(*x.shape[:2], 16), x[-1]


def late_model():
    """A model of pixels as they are, whose first block answers a step late."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        layer = SpikingBlock(nn.Linear(16, 32), BNTT(32, T), LIF(threshold=0.3))
        net = SpikingNetwork({"late": LastInput(), "fc1": layer}, Readout(nn.Linear(32, 3, bias=False)))
    return SpikingClassifier(DirectEncoder(T), net)


def fused_model():
    """A model whose samples wait for others."""
    options = {"num_classes": 3, "num_steps": T, "seed": 1, "leak": 0.9, "threshold": 0.3}
    return SpikingClassifier(DirectEncoder(T), mlp(in_features=16, hidden=(64,), **options))


@pytest.mark.parametrize("made", [late_model, fused_model])
def test_a_loader_may_reuse_its_memory_and_keeps_its_samples(made, rng):
    x, y, model = torch.rand(24, 1, 4, 4, generator=rng), torch.arange(24) % 3, made()
    images, labels, before = torch.empty(4, 1, 4, 4), torch.empty(4, dtype=torch.int64), x.clone()

    def again():
        for one, what in zip(x.split(4), y.split(4), strict=True):
            yield images.copy_(one), labels.copy_(what)

    wanted = [exit_each(model, [(x[i : i + 1], y[i : i + 1])], "margin", 0.05) for i in range(24)]
    assert len({int(one.steps) for one in wanted}) > 1
    for batches in (list(zip(x.split(4), y.split(4), strict=True)), again()):
        found = exit_each(model, batches, "margin", 0.05)
        assert torch.equal(found.steps, torch.cat([one.steps for one in wanted]))
        assert torch.equal(found.classes, torch.cat([one.classes for one in wanted]))
    assert torch.equal(x, before)


def test_batches_of_two_sizes_do_not_join(rng):
    batches = [(torch.rand(4, 1, size, size, generator=rng), torch.arange(4) % 3) for size in (8, 10, 8)]
    found = exit_each(late_model(), batches, "margin", 0.05)
    alone = [exit_each(late_model(), [batch], "margin", 0.05) for batch in batches]
    assert (found.steps > 1).any(), "states go on"
    assert torch.equal(found.steps, torch.cat([one.steps for one in alone]))
