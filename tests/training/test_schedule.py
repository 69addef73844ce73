"""Rates, momenta and warm-up against PyTorch's own schedulers, the paper's drops in whole numbers."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR

from bntt.training import Method, drops_reached
from bntt.training.schedule import Rates, floor_of_decay
from tests.rows import each_row

EPOCHS, UPDATES = 6, 4
TOTAL = EPOCHS * UPDATES
DROPS, FACTOR = (50, 75), 0.2


def ours(schedule, every, warmup):
    method = Method(lr=1.0, schedule=schedule, lr_every=every, warmup=warmup, lr_drops=DROPS, lr_factor=FACTOR)
    rates = Rates(method, EPOCHS, UPDATES)
    return [rates.factor(*divmod(update, UPDATES)) for update in range(TOTAL)]


@each_row("every", ["epoch", "step"])
@each_row("schedule", ["step", "cosine"])
def test_step_and_cosine_are_pytorchs(schedule, every):
    count, each = (EPOCHS, UPDATES) if every == "epoch" else (TOTAL, 1)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    if schedule == "step":
        scheduler = MultiStepLR(optimizer, [count * percent // 100 for percent in DROPS], gamma=FACTOR)
    else:
        scheduler = CosineAnnealingLR(optimizer, T_max=count)
    expected = []
    for _ in range(count):
        expected += [optimizer.param_groups[0]["lr"]] * each
        optimizer.step()
        scheduler.step()
    assert ours(schedule, every, 0) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@each_row("warmup", [0.1, 0.25, 0.5, 1, 1.5, 2])
@each_row("every", ["epoch", "step"])
@each_row("schedule", ["step", "cosine", "constant"])
def test_a_warm_up_rises_in_a_straight_line_and_the_cosine_takes_the_rest(schedule, every, warmup):
    """Of less than an update, of one, of parts of an epoch, and of whole ones; drops come where they would."""
    warm = round(warmup * UPDATES)
    left = [update - update % UPDATES if every == "epoch" else update for update in range(warm, TOTAL)]
    after = {
        "constant": [1.0] * len(left),
        "step": ours(schedule, every, 0)[warm:],
        "cosine": [(1 + math.cos(math.pi * max(0, update - warm) / (TOTAL - warm))) / 2 for update in left],
    }
    assert ours(schedule, every, warmup) == pytest.approx([(u + 1) / warm for u in range(warm)] + after[schedule])


@each_row(("epochs", "updates"), [(4, 6), (1, 7), (2, 1), (10, 10)])
def test_one_cycle_is_pytorchs(epochs, updates):
    count, rates = epochs * updates, Rates(Method(schedule="one-cycle"), epochs, updates)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=count)
    for update in range(count):
        (group,), where = optimizer.param_groups, divmod(update, updates)
        assert rates.factor(*where) == pytest.approx(group["lr"], rel=1e-9, abs=1e-12)
        assert rates.momentum(*where) == pytest.approx(group["momentum"])
        optimizer.step()
        if update + 1 < count:
            scheduler.step()


def test_apply_sets_rates_and_momentum_of_every_group():
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.AdamW([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.2}])
    Rates(Method(schedule="one-cycle"), 10, 10).apply(optimizer, 2, 9)  # at the top of the cycle
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.2])
    assert [group["betas"] for group in optimizer.param_groups] == [pytest.approx((0.85, 0.999))] * 2
    Rates(Method(), 10, 1).apply(optimizer, 9, 0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 2e-4])


@each_row(
    ("epochs", "milestones"),
    [
        (90, [45, 63, 81]),
        (170, [85, 119, 153]),
        (180, [90, 126, 162]),
        (120, [60, 84, 108]),
        (4, [2, 2, 3]),
        (3, [1, 2, 2]),
        (2, [1, 1, 1]),
        (1, []),
    ],
)
def test_drops_come_at_whole_epochs_but_the_first(epochs, milestones):
    reached = [drops_reached(epoch, epochs) for epoch in range(epochs)]
    assert reached == [sum(milestone <= epoch for milestone in milestones) for epoch in range(epochs)]


@each_row("schedule, nesterov", [("step", False), ("cosine", False), ("cosine", True), ("one-cycle", True)])
def test_a_gamma_without_gradient_ends_where_pytorchs_own_sgd_takes_it(schedule, nesterov):
    method, updates = Method(schedule=schedule, gamma_decay=2e-3, lr_every="step", nesterov=nesterov), 30
    gamma = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    gamma.grad = torch.zeros_like(gamma)
    optimizer = torch.optim.SGD([gamma], lr=0.3, momentum=method.momentum, weight_decay=2e-3, nesterov=nesterov)
    rates = Rates(method, 4, updates)
    for done in range(3 * updates):
        rates.apply(optimizer, *divmod(done, updates))
        optimizer.step()
    assert floor_of_decay(rates, 3 * updates) == pytest.approx(gamma.item(), rel=1e-12)
    assert floor_of_decay(Rates(Method(optimizer="adam"), 4, updates), 1) is None
