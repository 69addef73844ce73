"""Rates, momenta and warm-up against PyTorch's own schedulers; a T that grows."""

import math

import pytest
import torch
from torch.nn.utils.parametrize import register_parametrization
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR

from bntt.models import mlp
from bntt.nn import FrameEncoder, SpikingClassifier, TemporalNorm
from bntt.training import EpochRecord, Method, Session, drops_reached, updates
from bntt.training.schedule import Rates, floor_of_decay, hold_from, steps_in
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


T = 4


def built(norm="bntt"):
    net = mlp(in_features=3, hidden=(6, 5), num_classes=2, num_steps=T, leak=0.9, norm=norm, seed=1)
    return SpikingClassifier(FrameEncoder(T), net)


@pytest.fixture
def batches(rng):
    return [(torch.randn(5, T, 3, generator=rng), torch.arange(5) % 2) for _ in range(3)]


def step_tables(model):
    return [
        ((path, name), table)
        for path, norm in model.named_modules()
        if isinstance(norm, TemporalNorm)
        for name, table in norm.step_tables()
    ]


def tables(model):
    return {place: table.detach().clone() for place, table in step_tables(model)}


@each_row("stages, steps", [(((1, 1), (3, 2)), [1, 3, 3, 4, 4]), ((), [4, 4, 4, 4, 4])])
def test_stages_come_in_order_and_then_all_steps(stages, steps):
    assert [steps_in(stages, epoch, 4) for epoch in range(5)] == steps


def after_an_epoch(session):
    """Its records, from the second epoch on."""
    records = session.records()
    while not isinstance(next(records), EpochRecord):
        pass
    return records


@each_row("norm, how", [("bntt", "adamw"), ("tab", "sgd"), ("tebn", "adamw"), ("tebn", "sgd")])
def test_new_steps_begin_as_the_last_one_with_its_momentum(norm, how, batches):
    """In the model, in its average and in the optimiser, before the first update of more steps and not after it."""
    model, seen = built(norm), []
    method = Method(optimizer=how, lr=0.05, grow=((2, 1),), average=0.5)
    session = Session(model, batches, epochs=2, method=method)

    def now():
        states = {table: session.optimizer.state.get(table, {}) for _, table in step_tables(model)}
        moments = {
            (id(table), key): value.clone()
            for table, state in states.items()
            for key, value in state.items()
            if value.shape == table.shape
        }
        return tables(model), tables(session.average), moments

    records = after_an_epoch(session)
    before = now()
    model.register_forward_pre_hook(lambda *_: seen.append(now()))
    next(records)
    for found, was in zip(seen[0], before, strict=True):
        assert any(not torch.equal(table[2], table[1]) for table in was.values())
        for key, table in found.items():
            assert torch.equal(table[:2], was[key][:2]), key
            assert torch.equal(table[2:], was[key][1:2].expand_as(table[2:])), key


@each_row("norm", ["bntt", "bntt-beta", "bn", "bn-pooled", "tebn", "none"])
def test_an_epoch_of_few_steps_trains_on_these_alone(norm, batches):
    """As a training whose samples end there; later rows see decay and no gradient, and no statistics."""
    grown, short = built(norm), built(norm)
    records = updates(grown, batches, epochs=2, method=Method(lr=0.05, grow=((2, 1),)))
    found = [next(records) for _ in batches]
    losses = []
    optimizer = torch.optim.SGD(short.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for step, (x, labels) in enumerate(batches):
        optimizer.zero_grad()
        index = torch.arange(5 * step, 5 * step + 5)
        loss = torch.nn.functional.cross_entropy(short(x, index=index, draw=0, steps=2), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert [record.loss for record in found] == pytest.approx(losses, rel=1e-4)
    for part in grown.modules():
        if isinstance(part, TemporalNorm) and len(part.running_var) == T:
            assert (part.running_var[2:] == 1).all()
            assert (part.running_var[:2] != 1).any()


def test_what_is_not_trained_does_not_follow(batches):
    """γ of a frozen layer, and of one that your optimiser does not step; statistics follow everywhere."""
    for frozen, optimizer in ((("fc1",), None), ((), lambda net: torch.optim.SGD(net.readout.parameters(), lr=0.01))):
        model = built()
        gamma = model.network.blocks["fc1"].norm.gamma
        gamma.data[:] = torch.arange(1.0, T + 1)[:, None]
        method, given = Method(lr=0.01, grow=((1, 1),), freeze=frozen, average=0.5), optimizer
        session = Session(
            model, batches, epochs=2, method=method, optimizer=None if given is None else given(model.network)
        )
        seen = []
        model.register_forward_pre_hook(
            lambda model, _, seen=seen: seen.append(model.network.blocks["fc1"].norm.running_var.clone())
        )
        for _ in session.records():
            pass
        assert gamma[:, 0].tolist() == [1, 2, 3, 4]
        assert session.average.network.blocks["fc1"].norm.gamma[:, 0].tolist() == [1, 2, 3, 4]
        first, *others = seen[len(batches)]  # before the first update of all steps
        assert (first != 1).any()
        assert all(torch.equal(row, first) for row in others)


def test_a_table_that_is_computed_cannot_follow_and_is_refused_before_training(batches):
    model, method = built(), Method(lr=0.05, grow=((2, 1),))
    session = Session(model, batches, epochs=2, method=method)
    register_parametrization(model.network.blocks["fc1"].norm, "gamma", torch.nn.Softplus())
    for refused in (
        lambda: Session(model, batches, epochs=2, method=method),
        lambda: hold_from(model, 2, session.optimizer),
        lambda: list(session.records()),
    ):
        with pytest.raises(ValueError, match="'gamma' of this ParametrizedBNTT"):
            refused()
    assert len(list(Session(model, batches, epochs=1).records())) == 4, "without new steps it trains"
