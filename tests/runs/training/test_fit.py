"""One call that trains: what it returns, what the model ends with."""

import pytest
import torch

import bntt
from bntt.runs.training.epoch_log import EpochResult
from bntt.training import EpochRecord, Method, StepRecord, updates
from tests.rows import each_row
from tests.training.test_fit import build, data, loader


def assert_same(model, twin):
    for name, value in twin.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def held_out():
    return bntt.data.SampleLoader(data(12), 6)


@each_row("average", [None, 0.5])
def test_it_trains_as_the_iterator_does_and_returns_every_record(average):
    """And where weights are averaged the model ends with the average."""
    model, twin, method = build(), build(), Method(lr=0.1, average=average)
    training = updates(twin, loader(), epochs=2, method=method, seed=5)
    expected = list(training)
    history = bntt.fit(model, loader(), epochs=2, method=method, seed=5)
    assert [one for one in history if isinstance(one, StepRecord | EpochRecord)] == expected
    assert history[-1] is history.epochs[-1] is history.best
    assert history.best.validation_loss is None
    assert_same(model, training.average if average else twin)
    assert not model.training


def test_the_model_ends_with_the_best_validated_epoch(monkeypatch):
    """Told that the second of three epochs validates best, it has the weights of a training of two."""
    method = Method(lr=0.1, schedule="constant")
    accuracies = iter([0.5, 0.9, 0.9])
    monkeypatch.setattr(bntt.analysis.accuracy.Accuracy, "mean", property(lambda self: next(accuracies)))
    model, twin = build(), build()
    history = bntt.fit(model, loader(), epochs=3, validation=held_out(), method=method)
    for _ in updates(twin, loader(), epochs=2, method=method):
        pass
    assert [epoch.best for epoch in history.epochs] == [True, True, False]
    assert history.best.epoch == 1
    assert_same(model, twin)


def test_validation_loss_is_the_mean_cross_entropy_of_the_held_out_samples():
    model = build()
    (epoch,) = (one for one in bntt.fit(model, loader(), epochs=1, validation=held_out()) if type(one) is EpochResult)
    batches, total = held_out(), 0.0
    for inputs, labels, index in batches.epoch(0):
        logits = model(inputs, index=index, draw=1 << 32)
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    assert epoch.validation_loss == pytest.approx(total / 12, rel=1e-6)
