"""What is given to a training, or in the place of a network, that is something else: a sentence."""

import itertools

import numpy as np
import pytest
import torch

import bntt
from bntt.models import mlp
from bntt.nn import PoissonEncoder, SpikingClassifier
from bntt.training import Session
from tests.rows import each_row

pytestmark = pytest.mark.usefixtures("no_hook")
MODEL = SpikingClassifier(PoissonEncoder(4), mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=4))
IMAGES, LABELS = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)


def test_what_a_training_is_given():
    pairs = [(IMAGES, LABELS)]
    assert next(bntt.training.updates(MODEL, [(IMAGES, LABELS.numpy())], epochs=1)).samples == 4
    for wrong, message in (
        ({"method": {"lr": 0.1}}, "method must be of class Method, or left out, got dict"),
        ({"optimizer": "sgd"}, "optimizer must be of class Optimizer, or left out, got str"),
        ({"loss": "mse"}, "loss must be a function of logits and labels, or left out, got str"),
        ({"loss": torch.nn.CrossEntropyLoss}, "left out, got the class CrossEntropyLoss, not an object"),
    ):
        with pytest.raises(TypeError, match=message):
            Session(MODEL, pairs, epochs=1, **wrong)
    for loader, message in (
        ([(IMAGES.numpy(), LABELS)], r"the samples of a batch.* torch\.Tensor, got ndarray: torch\.from_numpy"),
        ([(IMAGES.tolist(), LABELS)], r"the samples of a batch.* torch\.Tensor, got list: torch\.as_tensor"),
        (bntt.data.synthetic().train, r"got ImageSet, which yields nothing: give a bntt\.data\.SampleLoader"),
        (Epochs(IMAGES, LABELS, np.arange(4)), r"the index of a batch.* torch\.Tensor, got ndarray"),
    ):
        with pytest.raises(TypeError, match=message):
            next(bntt.training.updates(MODEL, loader, epochs=1))
    with pytest.raises(ValueError, match=r"epoch\(draw\) must yield \(inputs, labels, index\), got tuple of 2"):
        next(bntt.training.updates(MODEL, Epochs(IMAGES, LABELS), epochs=1))


def test_a_network_is_wanted_not_its_classifier():
    analysis, training = bntt.analysis, bntt.training
    for taker, more in (
        (analysis.gamma_profile, ()),
        (analysis.gamma_spread, ()),
        (analysis.looks_untrained, ()),
        (analysis.step_changes, ()),
        (analysis.stepwise_norms, ()),
        (bntt.interop.to_state_dict, ("authors",)),
        (bntt.nn.fold, ()),
        (bntt.nn.retime, (8, "hold")),
        (training.balance, (PoissonEncoder(4), [(IMAGES, LABELS)])),
        (training.set_thresholds, ({"fc1": 1.0},)),
        (training.thresholds_of, ()),
    ):
        with pytest.raises(
            TypeError, match=rf"{taker.__name__}\(\) takes a SpikingNetwork, got SpikingClassifier: give"
        ):
            taker(MODEL, *more)
    with pytest.raises(TypeError, match=r"convert\(\) takes a SpikingNetwork or an nn\.Sequential, got Identity$"):
        training.convert(torch.nn.Identity())


class Epochs:
    """A loader of one batch."""

    def __init__(self, *batch):
        self.batch = batch

    def __len__(self):
        return 1

    def epoch(self, draw):
        yield self.batch


def test_a_half_epoch_is_none():
    for epochs in (1.5, 0.5, -1):
        with pytest.raises(ValueError, match=f"epochs must be 1 or more, a whole number, got {epochs}"):
            Session(MODEL, [(IMAGES, LABELS)], epochs=epochs)
    assert Session(MODEL, [(IMAGES, LABELS)], epochs=np.int64(2)).epochs == 2


def test_a_training_is_not_taken_up_within_an_epoch_of_other_batches():
    def session(batches):
        return Session(MODEL, [(IMAGES, LABELS)] * batches, epochs=2)

    one = session(3)
    facts = [one.state()[1] for _ in itertools.islice(one.records(), 5)]
    within, between = facts[1], facts[4]
    with pytest.raises(ValueError, match="is in an epoch of 3 batches, this loader has 2"):
        session(2).load(one.state()[0], within)
    session(3).load(one.state()[0], within)
    assert within["position"]["batches"] == 2
    assert between["position"]["batches"] == 1


class Refilled:
    """A loader that refills the same two tensors."""

    def __init__(self, batches):
        self.batches = batches
        self.images, self.labels = (torch.zeros_like(part) for part in batches[0])

    def __iter__(self):
        for images, labels in self.batches:
            self.images.copy_(images)
            self.labels.copy_(labels)
            yield self.images, self.labels


@each_row("accumulate", [1, 3])
def test_a_loader_may_reuse_its_tensors(accumulate):
    rng = torch.Generator().manual_seed(0)
    batches = [(torch.rand(4, 1, 2, 2, generator=rng), LABELS + number) for number in (0, 1, 2)]
    found = []
    for loader in (batches, Refilled(batches)):
        model = SpikingClassifier(PoissonEncoder(4), mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=4))
        records = list(Session(model, loader, epochs=2, method=bntt.Method(accumulate=accumulate)).records())
        found.append((records, list(model.state_dict().values())))
    (records, values), (others, refilled) = found
    assert others == records
    assert all(torch.equal(one, other) for one, other in zip(values, refilled, strict=True))


def test_what_an_optimizer_steps_outside_the_model_is_kept():
    def session():
        scale = torch.nn.Parameter(torch.zeros(()))
        optimizer = torch.optim.Adam([*MODEL.parameters(), scale], lr=0.05)

        def loss(logits, labels):
            return torch.nn.functional.cross_entropy(logits * scale.exp(), labels)

        return Session(MODEL, [(IMAGES, LABELS)], epochs=3, optimizer=optimizer, loss=loss), scale

    (one, scale), (other, fresh) = session(), session()
    next(one.records())
    other.load(*one.state())
    assert scale != 0
    assert fresh == scale
