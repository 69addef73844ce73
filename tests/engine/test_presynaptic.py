"""What arrives at weights, by place: against sums in plain PyTorch."""

import pytest
import torch

from bntt.engine.graph.recording import MOST_SIZES, Arrivals, arrivals, joined_arrivals
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import WORKSPACE
from tests.rows import each_row


def found(x: Spikes, **options) -> Arrivals:
    with WORKSPACE.lease() as lease:
        return arrivals(x, lease, **options)


@pytest.mark.parametrize(("largest", "batch"), [(1, 300), (4, 70), (9, 3), (63, 300), (255, 3)])
def test_counts_are_summed_without_overflow(largest, batch, rng):
    """All at their largest, too: a byte alone would overflow from 256 on."""
    counts = torch.randint(0, largest + 1, (2, batch, 3, 4, 5), generator=rng, dtype=torch.uint8)
    counts[1] = largest
    seen = found(Spikes(counts, 1 / largest, largest))
    assert torch.allclose(seen.amount, counts.double().sum((1, 4)) / largest, rtol=1e-14)
    assert torch.equal(seen.active, counts.bool().sum((1, 4)))
    assert seen.active[1].eq(5 * batch).all()


def test_signed_spikes_and_real_numbers_count_without_their_sign(rng):
    signed = torch.randint(-1, 2, (3, 300, 2, 4, 5), generator=rng)
    still = torch.randn(4, 3, 2, 5, generator=rng).expand(6, 4, 3, 2, 5)  # one image, there at every step
    wide = torch.tensor([-128, 127, -3, 0], dtype=torch.int8).reshape(1, 1, 2, 2, 1)
    real = torch.tensor([-0.25, 0.0, 1.5, 1e-30]).reshape(1, 1, 2, 2, 1)
    for values in (signed.to(torch.int8), signed.float(), signed.to(torch.int8).mT, still, wide, real):
        seen = found(Spikes(values))
        assert torch.allclose(seen.amount, values.double().abs().sum((1, 4)), rtol=1e-14)
        assert torch.equal(seen.active, (values != 0).sum((1, 4)))


def test_a_fully_connected_layer_has_one_place_and_steps_are_joined(rng):
    counts = torch.randint(0, 2, (4, 7, 3, 3, 2), generator=rng, dtype=torch.uint8)
    whole = found(Spikes(counts), places=False)
    assert whole.active.tolist() == counts.sum((1, 2, 3, 4))[:, None, None].tolist()
    parts = joined_arrivals([found(Spikes(part), places=False) for part in counts.split(3)])
    assert torch.equal(parts.active, whole.active)
    assert torch.equal(parts.amount, whole.amount)


@each_row(
    "values, worth, whole",
    [
        ([0.5, 0.5], 1, False),
        ([1.5, 0.5], 1, False),
        ([0.37, 0.63], 1, False),
        ([0.99, 0.0], 1, False),
        ([torch.nan, 1.0], 1, False),
        ([torch.inf, 1.0], 1, False),
        ([1.0, -1.0], 1, True),
        ([0.0, 0.0], 1, True),
        ([0.5, 0.75], 0.25, True),
        ([1 / 3, 2 / 3], 1 / 9, True),
        ([0.5, 0.75], 1 / 3, False),
    ],
)
def test_sizes_tell_spikes_from_what_only_adds_up_like_them(values, worth, whole):
    """Sums of a half and a half, or of three halves and a half, are those of spikes; sizes are not."""
    assert found(Spikes(torch.tensor(values).reshape(1, 1, 1, 1, 2))).are_whole(worth) is whole


def test_sizes_of_parts_are_those_of_the_whole(rng):
    counts = torch.randint(0, 5, (4, 6, 2, 2, 3), generator=rng)
    parts = [found(Spikes(part.float() / 4)) for part in counts.split(1)]
    assert joined_arrivals(parts).sizes.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found(Spikes(counts.to(torch.uint8), 0.25, 4)).sizes.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found(Spikes(-counts.to(torch.int8))).sizes.tolist() == [1, 2, 3, 4]
    assert (parts[0] + found(Spikes(torch.full((1, 6, 2, 2, 3), 7.5)))).sizes[-1] == 7.5


def test_real_numbers_of_too_many_sizes_are_no_spikes(rng):
    many = found(Spikes(torch.rand(2, 5, 30, 30, 4, generator=rng)))
    assert many.sizes is None
    assert not many.are_whole(1)
    one = found(Spikes(torch.ones(2, 5, 30, 30, 4)))
    assert not (many + one).are_whole(1)
    assert not joined_arrivals([one, many]).are_whole(1)
    edge = torch.arange(1.0, MOST_SIZES + 2).reshape(1, 1, 1, 1, -1)
    assert found(Spikes(edge)).sizes is None
    assert found(Spikes(edge[..., 1:])).are_whole(1)
