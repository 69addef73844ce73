"""A training that is kept at any update and taken up is the same training, whatever it remembers."""

import json
import math
from itertools import product

import pytest
import torch

from bntt.data import SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier, hold_statistics
from bntt.training import EpochRecord, Method, NonFiniteError, Session, StepRecord, cross_entropy
from tests.rows import each_row
from tests.training.test_fit import build, data

METHODS = {
    "the paper's": Method(lr=0.1),
    "adam": Method(optimizer="adam", lr=0.01),
    "adamw, amsgrad": Method(optimizer="adamw", lr=0.01, amsgrad=True, gamma_decay=0.0),
    "one-cycle, accumulated": Method(schedule="one-cycle", accumulate=2),
    "cosine, warm-up, clipped": Method(schedule="cosine", warmup=0.5, lr_every="step", clip_norm=0.1, nesterov=True),
    "averaged": Method(lr=0.1, average=0.9),
    "tet, smoothed": Method(lr=0.1, loss="tet", label_smoothing=0.1),
}


def session(method, *, batch=10, epochs=3, model=None, **options):
    loader = SampleLoader(data(), batch, shuffle=True)
    return Session(model or build(), loader, epochs=epochs, method=method, seed=3, **options)


def told(records):
    return list(records)


def everything(of):
    tensors, facts = of.state()
    return {name: value.clone() for name, value in tensors.items()}, json.loads(json.dumps(facts))


def same(one, other):
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert all(torch.equal(value, other[0][name]) for name, value in one[0].items())


@each_row("method", METHODS.values())
def test_taken_up_after_any_record_it_goes_on_with_the_same_bits(method):
    """Every place: in an epoch, at its end before its record is used, between two epochs."""
    whole, states = session(method, epochs=2), []
    records = [(record, states.append(everything(whole)))[0] for record in whole.records()]
    for place, state in enumerate(states):
        again = session(method, epochs=2, model=build(seed=9))
        again.load(*state)
        rest = told(again.records())
        expected = records[place:] if isinstance(records[place], EpochRecord) else records[place + 1 :]
        assert rest == expected
        same(everything(again), everything(whole))


def test_at_the_end_there_is_nothing_left():
    done = session(Method(lr=0.1), epochs=1)
    told(done.records())
    again = session(Method(lr=0.1), epochs=1)
    again.load(*everything(done))
    assert told(again.records()) == []


def test_what_is_read_of_the_data_begins_where_it_stopped():
    class Counted(SampleLoader):
        asked = 0

        def epoch(self, draw, first=0):
            for batch in super().epoch(draw, first):
                Counted.asked += 1
                yield batch

    one = Session(build(), Counted(data(), 5, shuffle=True), epochs=1, method=Method(lr=0.1))
    records = one.records()
    for _ in range(4):
        next(records)
    state, Counted.asked = everything(one), 0
    again = Session(build(), Counted(data(), 5, shuffle=True), epochs=1, method=Method(lr=0.1))
    again.load(*state)
    told(again.records())
    assert Counted.asked == 2


def test_accumulated_batches_make_the_gradient_of_the_whole_mean():
    """By hand: two batches of 8 and 7 samples, each normalised alone, one update; statistics taken in, in order."""
    model, twin = build(), build()
    loader = SampleLoader(data(15), 8, shuffle=True)
    one = Session(model, loader, epochs=1, method=Method(lr=0.1, accumulate=2), seed=3)
    record = next(one.records())
    twin.train()
    losses = []
    with hold_statistics(twin) as held:
        for batch in loader.epoch(0):
            logits = twin(batch.inputs, seed=3, index=batch.indices, draw=0)
            losses.append(cross_entropy(logits, batch.labels) * len(batch.labels) / 15)
    sum(losses).backward()
    torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4).step()
    held.take_in()
    assert (record.samples, record.step) == (15, 0)
    assert record.loss == pytest.approx(float(sum(losses).detach()), abs=1e-6)
    for name, value in model.state_dict().items():
        assert torch.allclose(value, twin.state_dict()[name], atol=1e-6), name


def test_the_last_update_of_an_epoch_may_have_fewer_batches():
    records = told(session(Method(accumulate=2), epochs=1).records())
    assert [record.samples for record in records if isinstance(record, StepRecord)] == [20, 10]


def test_clipping_shortens_the_gradient_and_nothing_else():
    free, short = build(), build()
    rate = {"schedule": "constant", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    starts = {name: value.detach().clone() for name, value in free.named_parameters()}
    next(session(Method(**rate), model=free).records())
    next(session(Method(**rate, clip_norm=0.01), model=short).records())
    moved = {name: (value - starts[name]).detach() for name, value in free.named_parameters()}
    norm = math.sqrt(sum(float(move.square().sum()) for move in moved.values()))
    assert norm > 0.1
    for name, value in short.named_parameters():
        assert torch.allclose(value - starts[name], moved[name] * 0.01 / norm, atol=1e-5), name


def test_the_average_is_of_weights_and_statistics_alike():
    """a ← d a + (1 - d) w after every update, from the first weights on."""
    one = session(Method(lr=0.1, average=0.75), epochs=1)
    expected = None
    for record in one.records():
        if not isinstance(record, StepRecord):
            continue
        now = {name: value.clone() for name, value in one.model.state_dict().items()}
        expected = now if expected is None else {n: 0.75 * expected[n] + 0.25 * v for n, v in now.items()}
        found = one.average.state_dict()
        assert any("running_var" in name for name in found)
        assert all(torch.allclose(found[name], value, atol=1e-6) for name, value in expected.items())
    assert one.measured is one.average
    assert not one.average.training
    one = session(Method())
    assert one.measured is one.model
    assert one.average is None


def test_tet_trains_on_every_steps_drive():
    model, twin = build(), build()
    loader = SampleLoader(data(), 10, shuffle=True)
    record = next(Session(model, loader, epochs=1, method=Method(loss="tet"), seed=3).records())
    batch = next(loader.epoch(0))
    twin.train()
    drives, handle = [], twin.network.readout.synapse.register_forward_hook(lambda m, x, y: drives.append(y))
    twin(batch.inputs, seed=3, index=batch.indices, draw=0)
    handle.remove()
    drive = torch.cat(drives).view(4, 10, 3)
    each = sum(cross_entropy(step, batch.labels) for step in drive) / 4
    assert record.loss == pytest.approx(float((0.95 * each + 0.05 * (drive - 1).square().mean()).detach()), abs=1e-5)


def test_a_jump_of_the_loss_names_its_samples():
    one, seen = session(Method(lr=0.0), epochs=30), []
    for record in one.records():
        if isinstance(record, StepRecord):
            seen.append(record)
            if record.jumped:
                break
            if len(seen) == 70:
                with torch.no_grad():
                    one.model.network.readout.synapse.weight.mul_(1000)
    assert len(seen) == 71
    assert len(seen[70].jumped) == 10
    assert set(seen[70].jumped) < set(range(30))


def sites(model, one, bad):
    """Every kind of place where a number may stop being finite."""
    fc1 = model.network.blocks["fc1"]
    momentum = one.optimizer.state[fc1.norm.gamma]
    return {
        "weight": lambda: fc1.synapse[1].weight.data[0].fill_(bad),
        "gamma": lambda: fc1.norm.gamma.data[1].fill_(bad),
        "running mean": lambda: fc1.norm.running_mean[0].fill_(bad),
        "running variance": lambda: fc1.norm.running_var[2].fill_(bad),
        "momentum": lambda: momentum["momentum_buffer"][0].fill_(bad),
        "readout": lambda: model.network.readout.synapse.weight.data[0].fill_(bad),
        "gradient": lambda: fc1.norm.gamma.register_hook(lambda grad: grad.fill_(bad)),
        "loss": lambda: model.network.readout.register_forward_hook(lambda m, x, y: (y[0] * bad, y[1])),
    }


SITES = ("weight", "gamma", "running mean", "running variance", "momentum", "readout", "gradient", "loss")


@each_row(("site", "bad"), [*product(SITES, [float("nan"), float("inf")])])
def test_nothing_that_is_not_finite_reaches_an_update(site, bad):
    """R7: stopped before the update at every site; the model, the optimiser and the position are as they were."""
    model = build()
    one = session(Method(lr=0.1), model=model)
    records = one.records()
    next(records)
    sites(model, one, bad)[site]()
    before = everything(one)
    where = "first seen in parameter network.blocks.fc1.*" if site == "weight" else ""
    with pytest.raises(NonFiniteError, match=f"{where}The update was skipped"):
        next(records)
    after = everything(one)
    assert after[1]["position"] == before[1]["position"]
    assert all(torch.equal(v.nan_to_num(7), after[0][n].nan_to_num(7)) for n, v in before[0].items())


def test_an_input_that_is_not_finite_is_refused_before_anything():
    image = torch.full((4, 1, 4, 4), float("nan"))
    one = Session(build(), [(image, torch.tensor([0, 1, 2, 0]))], epochs=1)
    before = everything(one)
    with pytest.raises(ValueError, match="pixels must be finite"):
        next(one.records())
    after = everything(one)
    assert after[1]["position"] == before[1]["position"]
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())


def test_a_schedule_by_update_needs_a_length():
    pairs = (batch for batch in [])
    with pytest.raises(ValueError, match="needs a loader that tells its length"):
        Session(build(), pairs, epochs=2, method=Method(schedule="one-cycle"))


def test_a_state_of_another_training_is_refused_and_changes_nothing():
    averaged, plain = session(Method(average=0.9)), session(Method())
    before = everything(plain)
    with pytest.raises(ValueError, match="keeps an average"):
        plain.load(*everything(averaged))
    same(everything(plain), before)


def test_a_state_of_another_optimiser_or_network_is_refused_and_changes_nothing():
    sgd = session(Method())
    next(sgd.records())
    for method in (Method(optimizer="adam"), Method(optimizer="adamw")):
        other = session(method, model=build(seed=9))
        before = everything(other)
        with pytest.raises(ValueError, match="another kind of optimiser has"):
            other.load(*everything(sgd))
        same(everything(other), before)
    net = mlp(in_features=16, hidden=(7,), num_classes=3, num_steps=4)
    small = session(Method(), model=SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net))
    before = everything(small)
    with pytest.raises(ValueError, match=r"does not fit: model: network\.blocks\.fc1"):
        small.load(*everything(sgd))
    same(everything(small), before)


def test_a_state_of_another_rate_is_refused_and_changes_nothing():
    """Its groups would replace the new ones in silence: a lower rate after a jump would stay the old."""
    kept = session(Method(lr=0.3))
    next(kept.records())
    for method, found in (
        (Method(lr=0.003), "trained with initial_lr 0.3, this training has 0.003"),
        (Method(weight_decay=0.1), "weight_decay 0.0005, this training has 0.1"),
        (Method(momentum=0.5), "momentum 0.9, this training has 0.5"),
    ):
        other = session(method, model=build(seed=9))
        before = everything(other)
        with pytest.raises(ValueError, match=found):
            other.load(*everything(kept))
        same(everything(other), before)


def test_a_freeze_outlives_its_training():
    model = build()
    with pytest.raises(ValueError, match="'fc9' is no layer"):
        session(Method(freeze=["fc1", "fc9"]), model=model)
    with pytest.raises(ValueError, match="grow"):
        session(Method(freeze=["fc1"], grow=[(4, 1)]), model=model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    session(Method(freeze=["fc1"]), model=model)
    session(Method(freeze=["fc*"]), model=model)
    assert not any(parameter.requires_grad for parameter in model.network.blocks["fc1"].parameters())
    session(Method(), model=model, optimizer=torch.optim.SGD(model.network.readout.parameters(), lr=0.1))


def test_a_first_update_that_fails_leaves_the_rate_where_it_began():
    """A rate that is taken from the last scaled one would shrink with every try."""
    pixels = torch.full((4, 1, 4, 4), 0.5)
    one = Session(
        build(), [(pixels, torch.tensor([0, 1, 2, 99]))], epochs=2, method=Method(lr=1.0, schedule="one-cycle")
    )
    for _ in range(3):
        with pytest.raises(ValueError, match=r"labels must be \d+ integers from 0 to 2"):
            next(one.records())
    assert [group["initial_lr"] for group in one.optimizer.param_groups] == [1.0, 1.0]
