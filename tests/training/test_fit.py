"""Algorithm 2's loop: one hand-made step, what it yields, plain loaders, and what it refuses."""

import math

import pytest
import torch

from bntt.data import ImageSet, SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import EpochRecord, Method, StepRecord, updates
from tests.rows import each_row

CONSTANT = Method(schedule="constant")


def build(seed=1):
    net = mlp(in_features=16, hidden=(12,), num_classes=3, num_steps=4, seed=seed, leak=0.9)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


def data(count=30):
    """Three classes told apart by which third of the image is bright."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 3
    pixels = torch.randint(0, 120, (count, 1, 4, 4), generator=generator)
    for i, label in enumerate(labels.tolist()):
        pixels[i, 0, label] += 130
    return ImageSet(pixels.to(torch.uint8), labels, ("a", "b", "c"))


def loader(**options):
    return SampleLoader(data(), 10, shuffle=True, **options)


def test_one_step_is_sgd_on_the_cross_entropy():
    """w ← w - lr (g + wd w), γ included, with the encoder's noise of draw = epoch and the true indices."""
    model, twin = build(), build()
    batch = next(loader().epoch(0))
    loss = torch.nn.functional.cross_entropy(twin(batch.inputs, seed=5, index=batch.indices, draw=0), batch.labels)
    loss.backward()
    before = dict(twin.named_parameters())
    record = next(updates(model, loader(), epochs=1, method=Method(lr=0.1, schedule="constant"), seed=5))
    assert record.loss == pytest.approx(loss.item(), abs=1e-7)
    for name, parameter in model.named_parameters():
        start = before[name]
        expected = start - 0.1 * (start.grad + 5e-4 * start)
        assert torch.allclose(parameter, expected, atol=1e-7), name


def test_it_yields_every_step_and_every_epoch():
    training = updates(model := build(), loader(), epochs=2, method=Method(lr=0.1))
    assert (training.average, training.measured) == (None, model)
    records = list(training)
    assert [type(r) for r in records] == [*[StepRecord] * 3, EpochRecord] * 2
    steps, epoch = records[:3], records[3]
    assert epoch.loss == pytest.approx(sum(s.loss * s.samples for s in steps) / 30)
    assert epoch.accuracy == sum(s.correct for s in steps) / 30


@each_row(
    "method, expected",
    [
        (Method(lr=0.3), [0.3] * 15 + [0.03] * 6 + [0.003] * 6 + [0.0003] * 3),
        (Method(lr=3.0, schedule="constant", warmup=1.0), [1.0, 2.0] + [3.0] * 28),
    ],
)
def test_rates_fall_at_the_milestones_and_warm_up_from_the_first_update(method, expected):
    records = updates(build(), loader(), epochs=10, method=method)
    assert [r.lr for r in records if isinstance(r, StepRecord)] == pytest.approx(expected)


def test_measuring_between_steps_changes_nothing():
    """R2: the model may be traced, and left in evaluation mode, between two records."""
    plain, watched = build(), build()
    list(updates(plain, loader(), epochs=2, method=Method(lr=0.1)))
    for _ in updates(watched, loader(), epochs=2, method=Method(lr=0.1)):
        watched.eval()
        watched.trace(torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    assert all(torch.equal(a, watched.state_dict()[n]) for n, a in plain.state_dict().items())


def own_optimizer(model):
    groups = [{"params": [p], "lr": rate} for p, rate in zip(model.parameters(), (1e-3, 1e-2, 0.1), strict=True)]
    return torch.optim.Adam(groups)


def test_ones_own_scheduler_has_the_say():
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)
    seen, expected = [], [0.1 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    for record in updates(model, loader(), epochs=4, optimizer=optimizer):
        if isinstance(record, StepRecord):
            seen.append(record.lr)
            scheduler.step()
    assert seen == pytest.approx(expected)


@each_row(
    "method, lr, after",
    [
        (None, [1e-3] * 4, [1e-3, 1e-2, 0.1]),
        (CONSTANT, [1e-3] * 4, [1e-3, 1e-2, 0.1]),
        (Method(), [1e-3, 1e-3, 1e-5, 1e-6], [1e-6, 1e-5, 1e-4]),
    ],
)
def test_a_schedule_for_ones_own_optimiser_begins_at_its_rates_or_leaves_them(method, lr, after):
    model = build()
    optimizer = own_optimizer(model)
    records = updates(model, loader(), epochs=4, optimizer=optimizer, method=method)
    assert [r.lr for r in records if isinstance(r, EpochRecord)] == pytest.approx(lr)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(after)


def partial(model):
    """An optimiser of γ alone."""
    return torch.optim.SGD([p for name, p in model.named_parameters() if name.endswith("gamma")], lr=0.1)


@each_row("clip_norm", [0.0, 1e-3])
def test_an_optimizer_of_some_parameters_steps_by_their_gradients_alone(clip_norm):
    """What is frozen has the same gradients, added up over no updates, and no part in the norm."""
    method = Method(schedule="constant", clip_norm=clip_norm)
    model, frozen = build(), build()
    for name, parameter in frozen.named_parameters():
        parameter.requires_grad_(name.endswith("gamma"))
    both = [updates(one, loader(), epochs=2, method=method, optimizer=partial(one)) for one in (model, frozen)]
    assert [record.loss for record in both[0]] == [record.loss for record in both[1]]
    assert all(torch.equal(value, frozen.state_dict()[name]) for name, value in model.state_dict().items())


def test_gradients_of_what_is_not_stepped_do_not_add_up():
    """Twice the same update, of a rate of 0: the second gradient is the first."""
    model, seen = build(), []
    weight, optimizer = model.network.blocks["fc1"].synapse[1].weight, partial(model)
    optimizer.param_groups[0]["lr"] = 0.0
    for _ in range(2):
        list(updates(model, SampleLoader(data(), 30), epochs=1, optimizer=optimizer))
        seen.append(weight.grad.clone())
    assert torch.equal(*seen)
    assert seen[0].any()


def test_a_gradient_that_is_not_stepped_may_be_anything():
    model = build()
    hook = model.network.blocks["fc1"].synapse[1].weight.register_hook(lambda grad: grad * math.nan)
    records = list(updates(model, loader(), epochs=1, optimizer=partial(model)))
    hook.remove()
    assert all(math.isfinite(record.loss) for record in records)
