"""Rates and warm-up against PyTorch's own schedulers, the paper's drops in whole numbers."""

import math

import pytest
import torch

from bntt.training import Method, drops_reached
from bntt.training.schedule import Rates, floor_of_decay
from tests.rows import each_row
from tests.training import warmup_table


def ours(method, epochs, updates):
    rates = Rates(method, epochs, updates)
    return [method.lr * rates.factor(epoch, update) for epoch in range(epochs) for update in range(updates)]


def theirs(make, count, per_epoch=1, lr=0.3):
    """What a scheduler of PyTorch's gives every update, stepped after every ``per_epoch``."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    optimizer = torch.optim.SGD([parameter], lr=lr, momentum=0.9)
    scheduler, seen = make(optimizer), []
    for update in range(count):
        seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        if (update + 1) % per_epoch == 0 and update + 1 < count:
            scheduler.step()
    return seen


def test_cosine_is_pytorchs():
    def make(steps):
        return lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)

    by_step = [rate for rate, _ in theirs(make(24), 24)]
    assert ours(Method(schedule="cosine", lr_every="step"), 4, 6) == pytest.approx(by_step)
    by_epoch = [rate for rate, _ in theirs(make(4), 24, per_epoch=6)]
    assert ours(Method(schedule="cosine"), 4, 6) == pytest.approx(by_epoch)


@each_row(("epochs", "updates"), [(4, 6), (1, 7), (2, 1), (10, 10)])
def test_one_cycle_is_pytorchs(epochs, updates):
    count, method = epochs * updates, Method(schedule="one-cycle")
    expected = theirs(lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.3, total_steps=count), count)
    assert ours(method, epochs, updates) == pytest.approx([rate for rate, _ in expected], rel=1e-9, abs=1e-12)
    rates = Rates(method, epochs, updates)
    momenta = [rates.momentum(epoch, update) for epoch in range(epochs) for update in range(updates)]
    assert momenta == pytest.approx([momentum for _, momentum in expected])


def test_step_is_pytorchs_by_epoch_and_by_update():
    drops = {"lr_drops": (50, 75), "lr_factor": 0.2}
    by_epoch = theirs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [4, 6], gamma=0.2), 24, per_epoch=3)
    assert ours(Method(**drops), 8, 3) == pytest.approx([rate for rate, _ in by_epoch])
    by_step = theirs(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [5, 7], gamma=0.2), 10)
    assert ours(Method(**drops, lr_every="step"), 2, 5) == pytest.approx([rate for rate, _ in by_step])


@each_row("case", warmup_table.CASES)
def test_every_schedule_with_a_warm_up_is_pytorchs_update_by_update(case):
    assert warmup_table.ours(*case) == pytest.approx(warmup_table.theirs(*case), rel=1e-9, abs=1e-12)


@each_row("every", ["epoch", "step"])
def test_warm_up_rises_in_a_straight_line_and_the_cosine_takes_the_rest(every):
    got = ours(Method(lr=1.0, schedule="cosine", warmup=1.5, lr_every=every), 3, 4)
    left = [u - u % 4 if every == "epoch" else u for u in range(6, 12)]
    expected = [(u + 1) / 6 for u in range(6)] + [(1 + math.cos(math.pi * max(0, u - 6) / 6)) / 2 for u in left]
    assert got == pytest.approx(expected)


def test_a_warm_up_of_less_than_an_update_is_none():
    got = ours(Method(lr=1.0, schedule="constant", warmup=0.1), 2, 4)
    assert got == [1.0] * 8


def test_apply_sets_rates_and_momentum_of_every_group():
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = torch.optim.AdamW([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 0.2}])
    Rates(Method(schedule="one-cycle"), 10, 10).apply(optimizer, 2, 9)  # at the top of the cycle
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.1, 0.2])
    assert [group["betas"][0] for group in optimizer.param_groups] == pytest.approx([0.85, 0.85])
    assert [group["betas"][1] for group in optimizer.param_groups] == [0.999, 0.999]
    Rates(Method(), 10, 1).apply(optimizer, 9, 0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 2e-4])


@each_row(
    ("epochs", "milestones"),
    [(90, [45, 63, 81]), (170, [85, 119, 153]), (180, [90, 126, 162]), (120, [60, 84, 108]), (1, [])],
)
def test_drops_come_at_whole_epochs(epochs, milestones):
    reached = [drops_reached(epoch, epochs) for epoch in range(epochs)]
    assert [epoch for epoch in range(1, epochs) if reached[epoch] > reached[epoch - 1]] == milestones


@each_row(("epochs", "reached"), [(1, [0]), (2, [0, 3]), (3, [0, 1, 3]), (4, [0, 0, 2, 3])])
def test_short_schedules_begin_with_the_first_rate(epochs, reached):
    assert [drops_reached(e, epochs) for e in range(epochs)] == reached


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


def test_the_floor_of_decay_is_about_its_exponential():
    floor = floor_of_decay(Rates(Method(schedule="constant"), 10, 100), 1000)
    assert floor == pytest.approx(math.exp(-0.3 * 5e-4 * 1000 / 0.1), rel=0.02)
