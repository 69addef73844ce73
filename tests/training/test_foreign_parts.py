"""Buffers of anybody's parts, and parameters outside the model: averaged, kept, restored and left alone by one rule."""

import pytest
import torch
from torch import nn

from bntt.io.checkpoint import CheckpointError
from bntt.nn import LIF, Call, PoissonEncoder, Readout, SpikingBlock, SpikingClassifier, SpikingNetwork, hold_statistics
from bntt.training import Method, NonFiniteError, Session
from tests.nn.networks import dense
from tests.rows import each_row
from tests.training.test_fit import loader

PLACES = 784


class Own(nn.Module):
    """A norm by PyTorch's, with places, a count that no file keeps, and a level that is bound anew in every pass."""

    def __init__(self, channels):
        super().__init__()
        self.norm, self.bad = nn.BatchNorm1d(channels), 0.0
        self.register_buffer("places", torch.randperm(PLACES, generator=torch.Generator().manual_seed(0)))
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("level", torch.zeros(channels))

    def forward(self, x, call=Call(), state=None):
        if self.training:
            self.passes += 1
            self.level = 0.5 * self.level + x.mean((0, 1)) + self.bad
        return self.norm(x.flatten(0, 1)).view_as(x), None


def build():
    rng = torch.Generator().manual_seed(1)
    block = SpikingBlock(nn.Sequential(nn.Flatten(), dense(16, 12, rng)), Own(12), LIF(0.9))
    network = SpikingNetwork({"fc1": block}, Readout(dense(12, 3, rng)))
    return SpikingClassifier(PoissonEncoder(4, mean=[0.5], std=[0.25]), network)


def buffers(model):
    return {name: value.clone() for name, value in model.named_buffers()}


def same(one, other):
    return {name for name, value in one.items() if torch.equal(value, other[name])}


MOVED = {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "passes", "level"}
MOVED = {f"network.blocks.fc1.norm.{name}" for name in MOVED}


def test_an_average_copies_what_is_counted_or_placed():
    one = Session(build(), loader(), epochs=3, method=Method(lr=0.1, average=0.9))
    list(one.records())
    found, own = one.average.network.blocks["fc1"].norm, one.model.network.blocks["fc1"].norm
    assert torch.equal(found.places, own.places)
    assert found.norm.num_batches_tracked == own.norm.num_batches_tracked == found.passes == own.passes == 9
    assert not torch.equal(found.norm.running_var, own.norm.running_var)


@each_row("accumulate", [1, 2])
def test_a_refused_update_leaves_the_buffers_of_foreign_parts(accumulate):
    model = build()
    one = Session(model, loader(), epochs=2, method=Method(lr=0.1, accumulate=accumulate))
    records, weight = one.records(), model.network.readout.synapse.weight
    start = buffers(model)
    next(records)
    before, kept = buffers(model), weight.detach().clone()
    assert set(before) - same(start, before) == MOVED
    weight.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        next(records)
    assert same(before, buffers(model)) == set(before)
    weight.data.copy_(kept)
    next(one.records())
    assert set(before) - same(before, buffers(model)) == MOVED


def test_a_foreign_buffer_that_is_not_finite_stops_the_update():
    one = Session(model := build(), loader(), epochs=1)
    before, model.network.blocks["fc1"].norm.bad = buffers(model), torch.inf
    with pytest.raises(NonFiniteError, match="buffer level of Own"):
        next(one.records())
    assert same(before, buffers(model)) == set(before)


def test_held_and_taken_in_foreign_buffers_are_what_passes_make_of_them(rng):
    """Inside and after the block, in parts or as one; the tensors stay the part's own."""
    first, second = (torch.rand(4, 5, 1, 4, 4, generator=rng) for _ in range(2))
    direct, after, inside, parts = (build().network for _ in range(4))
    direct(first), direct(second)
    own, before = dict(after.named_buffers()), buffers(after)
    with hold_statistics(after) as held:
        after(first), after(second)
    assert same(before, buffers(after)) == set(before)
    held.take_in()
    assert all(value is own[name] for name, value in after.named_buffers())
    with hold_statistics(inside) as held:
        inside(first), inside(second)
        held.take_in()
        inside(first)
    with hold_statistics(parts) as one:
        parts(first)
    with hold_statistics(parts, one) as other:
        parts(second)
    one.take_in(), other.take_in()
    for network in (after, inside, parts):
        assert same(buffers(direct), buffers(network)) == set(before)


def test_parameters_outside_the_model_are_kept_of_an_epoch_and_restored():
    """A parameter of the loss, which the optimizer steps too."""
    factor, model = nn.Parameter(torch.zeros(())), build()
    one = Session(
        model,
        loader(),
        epochs=2,
        optimizer=torch.optim.Adam([*model.parameters(), factor], lr=0.05),
        loss=lambda logits, labels: nn.functional.cross_entropy(logits * factor.exp(), labels),
    )
    records = one.records()
    next(records)
    kept = {name: value.clone() for name, value in one.weights().items()}
    state = {name: value.clone() for name, value in one.state()[0].items()}, one.state()[1]
    assert factor != 0
    next(records)
    for restore in (lambda: one.restore(kept), lambda: one.load(*state)):
        assert not torch.equal(factor, kept["other.other6"])
        restore()
        assert all(torch.equal(value, kept[name]) for name, value in one.weights().items())
        factor.data += 1
    with pytest.raises(CheckpointError, match="other6"):
        one.restore({name: value for name, value in kept.items() if not name.startswith("other")})
