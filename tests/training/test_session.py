"""A training that is kept at any update and taken up is the same training, whatever it remembers."""

import json
import math

import pytest
import torch

from bntt.data import SampleLoader
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier, hold_statistics
from bntt.training import EpochRecord, Method, NonFiniteError, Session, StepRecord, cross_entropy
from bntt.training.session import LossWatch, check_finite, check_state
from tests.rows import each_row
from tests.training.test_fit import build, data

METHODS = {
    "the paper's": Method(lr=0.1),
    "adam": Method(optimizer="adam", lr=0.01),
    "adamw, amsgrad": Method(optimizer="adamw", lr=0.01, amsgrad=True, gamma_decay=0.0),
    "one-cycle, accumulated": Method(schedule="one-cycle", accumulate=2),
    "cosine, warm-up, clipped": Method(schedule="cosine", warmup=0.5, lr_every="step", clip_norm=0.1, nesterov=True),
    "growing, averaged": Method(lr=0.1, average=0.9, grow=((1, 1),)),
    "tet, smoothed": Method(lr=0.1, loss="tet", label_smoothing=0.1),
}


def session(method, *, batch=10, epochs=3, model=None, **options):
    loader = SampleLoader(data(), batch, shuffle=True)
    return Session(model or build(), loader, epochs=epochs, method=method, seed=3, **options)


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
        rest = list(again.records())
        expected = records[place:] if isinstance(records[place], EpochRecord) else records[place + 1 :]
        assert rest == expected
        same(everything(again), everything(whole))


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
    list(again.records())
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


def test_a_jump_of_the_loss_names_its_samples():
    one, seen = session(Method(lr=0.0), epochs=30), []
    for record in one.records():
        if isinstance(record, StepRecord):
            seen.append(record)
            if record.jumped:
                break
            if len(seen) == 55:
                with torch.no_grad():
                    one.model.network.readout.synapse.weight.mul_(1000)
    assert len(seen) == 56
    assert len(seen[55].jumped) == 10
    assert set(seen[55].jumped) < set(range(30))


def sites(model, optimizer):
    """Every kind of place where a number may stop being finite: what the error names, and what spoils it."""
    fc1, readout = model.network.blocks["fc1"], model.network.readout
    norm, momentum = fc1.norm, optimizer.state[fc1.norm.gamma]["momentum_buffer"]
    return [
        ("parameter network.blocks.fc1.synapse", lambda bad: fc1.synapse[1].weight.data[0].fill_(bad)),
        ("parameter network.blocks.fc1.norm.gamma", lambda bad: norm.gamma.data[1].fill_(bad)),
        ("buffer network.blocks.fc1.norm.running_mean", lambda bad: norm.running_mean[0].fill_(bad)),
        ("buffer network.blocks.fc1.norm.running_var", lambda bad: norm.running_var[2].fill_(bad)),
        ("momentum_buffer of network.blocks.fc1.norm.gamma", lambda bad: momentum[0].fill_(bad)),
        ("parameter network.readout", lambda bad: readout.synapse.weight.data[0].fill_(bad)),
        ("the gradient of network", lambda bad: norm.gamma.register_hook(lambda grad: grad.fill_(bad))),
        ("the gradient of network", lambda bad: readout.register_forward_hook(lambda m, x, y: (y[0] * bad, y[1]))),
        ("no single number", lambda bad: norm.gamma.register_hook(lambda grad: grad.fill_(1e30))),
    ]


@each_row("number", range(9))
@each_row("bad", [float("nan"), float("inf")])
def test_nothing_that_is_not_finite_reaches_an_update(number, bad):
    """R7: stopped before the update at every site; the model, the optimiser and the position are as they were."""
    one = session(Method(lr=0.1))
    records = one.records()
    next(records)
    site, spoil = sites(one.model, one.optimizer)[number]
    spoil(bad)
    before = everything(one)
    with pytest.raises(NonFiniteError, match=f"first seen in {site}"):
        next(records)
    after = everything(one)
    assert after[1]["position"] == before[1]["position"]
    assert all(torch.equal(v.nan_to_num(7), after[0][n].nan_to_num(7)) for n, v in before[0].items())


def adam():
    """A network that learned once by Adam, and its optimiser."""
    net = mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 3, 3)).sum().backward()
    optimizer.step()
    return net, optimizer


def test_what_is_kept_for_good_is_finite():
    net, optimizer = adam()
    outside = torch.nn.Parameter(torch.zeros(()))
    optimizer.add_param_group({"params": [outside]})
    check_state(net, optimizer)
    outside.data.fill_(float("inf"))
    check_state(net)
    with pytest.raises(NonFiniteError, match="a parameter outside"):
        check_state(net, optimizer)
    outside.data.zero_()
    optimizer.state[net.blocks["fc1"].norm.gamma]["exp_avg_sq"][0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"exp_avg_sq of blocks\.fc1\.norm\.gamma"):
        check_state(net, optimizer)


def test_large_but_finite_numbers_pass():
    """A norm beyond float32 is none of a number's faults."""
    net, optimizer = adam()
    net.blocks["fc1"].norm.running_var.fill_(1e30)
    with hold_statistics(net) as held:
        check_finite(net, torch.zeros(()), optimizer, held)


def test_the_watch_takes_a_jump_in_at_no_more_than_its_limit():
    watch = LossWatch()
    for step in range(200):
        assert not watch.jumped(2.0 - 0.005 * step + 0.01 * (step % 3))
    before = watch.mean
    assert watch.jumped(100.0)
    assert before < watch.mean < 1.1 * before  # at full height it would be 3.2
    assert not watch.jumped(before)
    assert LossWatch(mean=1.0, variance=0.0, count=49).jumped(9.0) is False


def narrow():
    net = mlp(in_features=16, hidden=(7,), num_classes=3, num_steps=4)
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), net)


@each_row(
    "named, options",
    [
        ("initial_lr 0.3, .* 0.003", {"method": Method(lr=0.003)}),
        ("weight_decay", {"method": Method(weight_decay=0.1)}),
        ("momentum", {"method": Method(momentum=0.5)}),
        ("kind of optimiser", {"method": Method(optimizer="adam")}),
        ("kind of optimiser", {"method": Method(optimizer="adamw")}),
        ("average", {"method": Method(average=0.9)}),
        (r"model: network\.blocks\.fc1", {"method": Method(), "model": narrow()}),
        ("epoch of 3 batches, .* 2", {"method": Method(), "batch": 15}),
    ],
)
def test_a_state_of_another_training_is_refused_and_changes_nothing(named, options):
    """Its groups would replace the new ones in silence: a lower rate after a jump would stay the old."""
    kept = session(Method(lr=0.3))
    next(kept.records())
    other = session(**{"model": build(seed=9), **options})
    before = everything(other)
    with pytest.raises(ValueError, match=named):
        other.load(*everything(kept))
    same(everything(other), before)


def test_a_freeze_outlives_its_training():
    model = build()
    session(Method(freeze=["fc1"]), model=model)
    session(Method(freeze=["fc*"]), model=model)
    assert not any(parameter.requires_grad for parameter in model.network.blocks["fc1"].parameters())
    session(Method(), model=model, optimizer=torch.optim.SGD(model.network.readout.parameters(), lr=0.1))


def test_a_first_update_that_fails_leaves_the_rate_where_it_began():
    """A rate that is taken from the last scaled one would shrink with every try."""
    batches = [(torch.full((4, 1, 4, 4), 0.5), torch.tensor([0, 1, 2, 99]))]
    one = Session(build(), batches, epochs=2, method=Method(lr=1.0, schedule="one-cycle"))
    for _ in range(3):
        with pytest.raises(ValueError, match="labels"):
            next(one.records())
    assert [group["initial_lr"] for group in one.optimizer.param_groups] == [1.0, 1.0]


class Refilled:
    """A loader that refills the same two tensors."""

    def __init__(self, batches):
        self.batches = batches
        self.images, self.labels = (torch.zeros_like(part) for part in batches[0])

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        for images, labels in self.batches:
            self.images.copy_(images)
            self.labels.copy_(labels)
            yield self.images, self.labels


@each_row("accumulate", [1, 3])
def test_a_loader_may_reuse_its_tensors(accumulate, rng):
    batches = [(torch.rand(4, 1, 4, 4, generator=rng), torch.arange(4) % 3) for _ in range(3)]
    found = []
    for loader in (batches, Refilled(batches)):
        one = Session(build(), loader, epochs=2, method=Method(accumulate=accumulate))
        found.append((list(one.records()), everything(one)))
    assert found[0][0] == found[1][0]
    same(found[0][1], found[1][1])
