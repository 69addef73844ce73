"""Images told over time: which pixel comes when, and the set of them."""

import pytest
import torch

from bntt.data import ImageSet, SampleLoader, SequenceSet, split_validation
from bntt.data.samples import ORDERS, arrange, digest_of, places
from tests.rows import each_row

LABELS = torch.tensor([0, 1, 1])


def images(channels=2, height=3, width=4):
    """Every value names its image, channel, row and column."""
    n, c, h, w = torch.meshgrid(*(torch.arange(size) for size in (3, channels, height, width)), indexing="ij")
    return (64 * n + 16 * c + 4 * h + w).to(torch.uint8)


def sequences(order):
    return SequenceSet(ImageSet(images(), LABELS, ("cat", "dog")), order)


def test_pixels_come_row_after_row_with_all_their_channels_and_rows_from_the_top():
    told = arrange(images(), "pixels")
    assert told.shape == (3, 12, 2)
    assert told[1, :, 0].tolist() == [64 + 4 * h + w for h in range(3) for w in range(4)]
    assert told[0, 6].tolist() == [4 + 2, 16 + 4 + 2]
    told = arrange(images(), "rows")
    assert told.shape == (3, 3, 8)
    assert told[2, 1].tolist() == [128 + 4 + w for w in range(4)] + [128 + 16 + 4 + w for w in range(4)]


def test_permuted_pixels_are_those_of_the_places_the_same_for_ever():
    """Runs were trained with them."""
    told, order = arrange(images(), "permuted"), places(12)
    assert order.sort().values.tolist() == list(range(12)) != order.tolist()
    for t, place in enumerate(order.tolist()):
        assert torch.equal(told[:, t], images()[:, :, place // 4, place % 4])
    assert digest_of("permuted", 784) == "be14d1a11dd255c12c3860a35b9f5d739e7f3e5af4d91402fdc1bfff82c3ffb6"
    assert len({digest_of(order, 784) for order in ORDERS}) == 3


@each_row(("order", "shape"), [("pixels", (12, 2)), ("permuted", (12, 2)), ("rows", (3, 8))])
def test_a_set_has_the_arranged_images_and_is_loaded_and_split_as_any(order, shape):
    data = sequences(order)
    assert (data.num_steps, data.features) == shape
    assert (len(data), data.classes, data.labels.tolist()) == (3, ("cat", "dog"), [0, 1, 1])
    batch = data.batch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    assert torch.equal(batch, arrange(images(), order)[[2, 0]] / 255)
    assert torch.equal(data.select(torch.tensor([2])).batch(torch.tensor([0])), batch[:1])
    training, held_out, index = split_validation(data, 1, seed=0)
    assert torch.equal(held_out.batch(torch.tensor([0])), data.batch(index))
    (batch,) = SampleLoader(training, 2).epoch(0)
    assert batch.inputs.shape == (2, *shape)


def test_an_unknown_order():
    for wrong in (lambda: sequences("columns"), lambda: arrange(images(), "")):
        with pytest.raises(ValueError, match="order"):
            wrong()
