"""Samples that leave go on in full batches, with the bits that they have in any other, and few wait."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bntt.analysis.accuracy.evaluation import presented
from bntt.analysis.exit.exit_rules import each_step, exit_each
from bntt.data import ImageSet, SampleLoader
from bntt.engine.compute import Compute
from bntt.engine.graph import layer
from bntt.models import mlp
from bntt.nn import (
    BNTT,
    LIF,
    DirectEncoder,
    Measure,
    PoissonEncoder,
    Readout,
    SpikingBlock,
    SpikingClassifier,
    SpikingNetwork,
)
from bntt.nn.network.measured import evaluating
from tests.kernels import needs_kernels

T, SAMPLES, BATCH = 6, 41, 3
pytestmark = needs_kernels


class Total:
    """A state of a readout of one's own, which says how its rows are selected, and may say how they are joined."""

    def __init__(self, sums: Tensor) -> None:
        self.sums = sums

    def rows(self, keep: Tensor) -> "Total":
        return type(self)(self.sums[keep])


class Joined(Total):
    def join(self, other: "Total") -> "Total":
        return type(self)(torch.cat([self.sums, other.sums]))


class Summed(nn.Module):
    """A readout of one's own."""

    def __init__(self, kind: type[Total]) -> None:
        super().__init__()
        self.weight, self.kind = nn.Parameter(torch.randn(3, 64, generator=torch.Generator().manual_seed(1))), kind

    def forward(self, x, call, state=None):
        steps = (x[:, :, None] * self.weight).sum(-1).cumsum(0)
        steps = steps if state is None else steps + state.sums
        return steps, self.kind(steps[-1])


@pytest.fixture
def shown(rng, monkeypatch):
    """A model, a function for its samples in batches, and the numbers of samples of its calls."""
    pixels = torch.randint(0, 256, (SAMPLES, 1, 4, 4), generator=rng, dtype=torch.uint8)
    data, asked = ImageSet(pixels, torch.arange(SAMPLES) % 3, ("a", "b", "c")), []
    net = mlp(in_features=16, hidden=(64, 64), num_classes=3, num_steps=T, seed=1)
    net.compute, net.readout = Compute("cpu", events="fixed"), Summed(Joined)
    model = SpikingClassifier(PoissonEncoder(T, mean=[0.5], std=[0.25]), net)
    real = SpikingClassifier.advance

    def advance(self, x, *args, **kwargs):
        asked.append(len(x))
        return real(self, x, *args, **kwargs)

    monkeypatch.setattr(SpikingClassifier, "advance", advance)
    return model, lambda: presented(model, SampleLoader(data, BATCH), "", 5, 2, lambda samples: None), asked


def run(model, batches, leaves):
    with torch.no_grad(), evaluating(model):
        return list(each_step(model, batches, Measure(spikes=True), leaves))


def leaves(logits: Tensor) -> Tensor:
    """About a third of them, whoever is there."""
    return (logits[:, 0] * 7).sin() > 0.5


def test_bits_are_those_of_batches_alone_and_calls_are_few(shown):
    model, batches, asked = shown
    found = run(model, batches(), leaves)
    many, most = len(asked), max(asked)
    alone, done = {}, 0
    for batch in batches():
        for step in run(model, iter([batch]), leaves):
            alone |= {done + int(place): (step.steps, row) for place, row in zip(step.place, step.logits, strict=True)}
        done += len(batch[2])
    seen = {int(place): (step.steps, row) for step in found for place, row in zip(step.place, step.logits, strict=True)}
    assert seen.keys() == alone.keys() == set(range(2 * SAMPLES))
    assert all(seen[place][0] == steps and torch.equal(seen[place][1], row) for place, (steps, row) in alone.items())
    assert len({steps for steps, _ in seen.values()}) > 3
    assert many == 2 * T, "all samples of a draw fit together"
    assert most == SAMPLES


@pytest.mark.parametrize("kind", [Joined, Total])
def test_few_wait_and_none_whose_states_cannot_be_joined(kind, shown, monkeypatch):
    """Eight samples fill the memory of a step: as many wait, and as many take it."""
    monkeypatch.setattr(layer, "CHUNK_BYTES", 4 * 64 * 8)
    model, batches, asked = shown
    model.network.readout.kind = kind
    taken, left, most = [], 0, 0
    with torch.no_grad(), evaluating(model):
        coming = (taken.extend(batch[2].tolist()) or batch for batch in batches())
        for step in each_step(model, coming, Measure(), leaves):
            most, left = max(most, len(taken) - left), left + len(step.place)
    assert len(taken) == left == 2 * SAMPLES
    assert max(asked) <= most <= (8 + 8 + BATCH if kind is Joined else 8 + BATCH)
    assert (len(asked) < 50) == (kind is Joined)


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
