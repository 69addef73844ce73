"""Samples that leave by themselves say what each says alone, and threshold and loss are kept."""

import math

import pytest
import torch

from bntt.analysis import choose_sample_exit, exit_each, record_running
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.exit.early_exit import CRITERIA, Running, certainty, exits_at
from bntt.data import ImageSet, SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests.analysis.accuracy.test_evaluation import DoubleLoader


@pytest.fixture
def data(rng):
    pixels = torch.randint(0, 256, (11, 1, 4, 4), generator=rng, dtype=torch.uint8)
    return ImageSet(pixels, torch.arange(11) % 3, ("a", "b", "c"))


def model(**options):
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=6, seed=1, **options)
    return SpikingClassifier(PoissonEncoder(6, mean=[0.5], std=[0.25]), net)


def test_certainty_by_its_formula(rng):
    logits = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    for row, logit in enumerate(logits.tolist()):
        total = sum(math.exp(v) for v in logit)
        p = sorted((math.exp(v) / total for v in logit), reverse=True)
        entropy = -sum(q * math.log(q) for q in p)
        wanted = {"confidence": p[0], "margin": p[0] - p[1], "entropy": 1 - entropy / math.log(4)}
        for criterion in CRITERIA:
            assert float(certainty(logits, criterion)[row]) == pytest.approx(wanted[criterion])
    silent = [certainty(torch.zeros(1, classes), "entropy") for classes in range(2, 200)]
    assert 0 <= min(silent) <= max(silent) < 1e-6, "rounding takes none below 0, which no threshold may be"
    assert all(certainty(logits[:, :1], criterion).eq(1).all() for criterion in CRITERIA), "as the runtime says"


@torch.no_grad()
def alone(net, image, row, criterion, threshold):
    """Steps and class of one image, stopped by hand."""
    state = None
    for taken in range(1, 7):
        noise = {"seed": 5, "index": torch.tensor([row]), "draw": FIRST_DRAW} if state is None else {}
        logits, state = net.advance(image, state, steps=1, **noise)
        if float(certainty(logits[0], criterion)) >= threshold:
            return taken, int(logits[0].argmax())
    return taken, int(logits[0].argmax())


@pytest.mark.parametrize(("criterion", "share"), [("confidence", 0.2), ("margin", 0.6), ("entropy", 0.4)])
def test_each_says_what_it_says_alone(criterion, share, data):
    """In float64 on the plain path, exactly: a loop over single images that stops by hand."""
    net = model().double()
    running = record_running(net, DoubleLoader(data, 6), seed=5, draws=2)
    threshold = float(running.certainty[criterion].flatten().quantile(share))
    found = exit_each(net, DoubleLoader(data, 6), criterion, threshold, seed=5, draws=2)
    for row in range(len(data)):
        image = data.images[row : row + 1].double() / 255
        assert (int(found.steps[row]), int(found.classes[row])) == alone(net.eval(), image, row, criterion, threshold)
    assert 1 < found.mean_steps < 6
    assert sum(found.distribution) == pytest.approx(1)
    assert found.distribution[0] == pytest.approx(float((found.steps == 1).double().mean()))
    assert torch.equal(found.steps, exits_at(running.certainty[criterion], threshold))
    picked = running.right.gather(1, found.steps[:, None] - 1)[:, 0]
    assert torch.equal(found.right, picked)


def test_nobody_leaves_at_an_infinite_threshold_and_all_at_zero(data):
    net = model().double()
    late = exit_each(net, DoubleLoader(data, 6), "margin", math.inf, seed=3, draws=2)
    assert late.steps.tolist() == [6] * 22
    once = exit_each(net, DoubleLoader(data, 6), "margin", math.inf, seed=3)
    trace = net.eval().trace(data.images.double() / 255, seed=3, index=torch.arange(11), draw=FIRST_DRAW)
    assert once.spikes.tolist() == pytest.approx((trace.spikes["fc1"].sum(1) / 11).tolist())
    early = exit_each(net, DoubleLoader(data, 6), "margin", 0.0)
    assert early.steps.tolist() == [1] * 11
    assert early.spikes[1:].sum() == 0


def test_the_fewest_steps_that_keep_the_loss(rng):
    right = torch.rand(200, 5, generator=rng) < torch.linspace(0.3, 0.9, 5)
    sure = torch.rand(200, 5, generator=rng).sort(1).values
    running = Running({"margin": sure}, right)
    whole = float(right[:, -1].double().mean())
    for loss in (0.0, 0.01, 0.1, 1.0):
        choice = choose_sample_exit(running, "margin", loss)
        steps = exits_at(sure, choice.threshold)
        accuracy = float(right.gather(1, steps[:, None] - 1).double().mean())
        assert (choice.accuracy, choice.mean_steps) == (accuracy, float(steps.double().mean()))
        assert whole - accuracy <= loss + 1e-9
        for other in sure[::80].flatten().tolist():
            steps = exits_at(sure, other)
            kept = whole - float(right.gather(1, steps[:, None] - 1).double().mean()) <= loss
            assert not kept or float(steps.double().mean()) >= choice.mean_steps - 0.05
    assert choose_sample_exit(running, "margin", 1.0).mean_steps < choose_sample_exit(running, "margin", 0.0).mean_steps


def test_one_step_leaves_nothing_to_choose():
    running = Running({"margin": torch.tensor([[0.1], [0.2]])}, torch.tensor([[True], [False]]))
    assert choose_sample_exit(running, "margin", 0.0).threshold == math.inf


def test_thresholds_losses_and_criteria_that_are_none(data, no_hook):
    for criterion, value in (("margin", -0.1), ("margin", math.nan), ("margn", 0.5)):
        with pytest.raises(ValueError, match="threshold" if criterion == "margin" else "margn"):
            exit_each(model(), SampleLoader(data, 10), criterion, value)
        with pytest.raises(ValueError, match="loss" if criterion == "margin" else "margn"):
            choose_sample_exit(Running({"margin": torch.ones(2, 2)}, torch.ones(2, 2).bool()), criterion, value)
