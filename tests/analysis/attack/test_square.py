"""The search without gradients: squares by their rule, within bounds and budget, whatever the batch; and it finds."""

import pytest
import torch

from bntt.analysis.attack import attacks
from bntt.analysis.attack.attacks import SURE, right_under, search
from bntt.ops.random import Purpose, sample_keys
from tests.analysis.attack.models import Hidden, conv_model, linear_model, some


def test_a_square_is_one_and_moves_from_the_image_as_it_was():
    images, _, index = some(50, shape=(3, 9, 7))
    images = 0.3 + 0.4 * images
    x = images + 0.05
    moved = attacks._with_square(x, images, 0.1, 3, sample_keys(0, Purpose.SEARCH, 1, index))
    change = moved != x
    corners = set()
    for row in range(50):
        places = change[row].any(0).nonzero()
        (top, left), (bottom, right) = places.amin(0).tolist(), places.amax(0).tolist()
        assert (bottom - top, right - left, len(places)) == (2, 2, 9)
        corners.add((top, left))
        inside = (moved - images)[row, :, top : bottom + 1, left : right + 1]
        assert torch.allclose(inside.abs(), torch.full_like(inside, 0.1))
        assert all(len(set(channel.round(decimals=6).flatten().tolist())) == 1 for channel in inside)
    assert {top for top, _ in corners} == set(range(7))
    assert {left for _, left in corners} == set(range(5))


def test_sizes_fall_as_published():
    shares = [attacks._side(torch.Size((100, 100)), number, 10_000) for number in (0, 10, 11, 51, 201, 501, 1001, 9999)]
    assert shares == [89, 89, 63, 45, 32, 22, 16, 4]
    assert attacks._side(torch.Size((28, 28)), 5, 10) == attacks._side(torch.Size((28, 28)), 5000, 10_000)


def test_it_begins_with_stripes():
    images, labels, index = some(4)
    images = 0.3 + 0.4 * images
    change = search(conv_model(), images, labels, 0.1, queries=0, index=index).images - images
    assert torch.allclose(change.abs(), torch.full_like(change, 0.1))
    assert torch.allclose(change, change[:, :, :1].expand_as(change))


@pytest.mark.parametrize("queries", [2, 21])
def test_bounds_budget_and_whatever_the_batch(queries):
    model, (images, labels, index) = conv_model(), some()
    whole = search(model, images, labels, 0.1, queries=queries, index=index, seed=3)
    assert float((whole.images - images).abs().max()) <= 0.1 + 1e-7
    assert 0 <= float(whole.images.min()) <= float(whole.images.max()) <= 1
    assert int(whole.queries.max()) <= queries
    assert whole.zero is None
    for rows in torch.arange(6).split(4):
        part = search(model, images[rows], labels[rows], 0.1, queries=queries, index=index[rows], seed=3)
        assert torch.equal(part.images, whole.images[rows])
        assert torch.equal(part.queries, whole.queries[rows])


def test_it_counts_what_it_asks(monkeypatch):
    model, (images, labels, index) = conv_model(), some()
    asked, forward = [], model.forward
    monkeypatch.setattr(
        model, "forward", lambda x, **noise: (asked.append((len(x), noise["draw"])), forward(x, **noise))[1]
    )
    found = search(model, images, labels, 0.05, queries=40, index=index)
    assert sum(count for count, _ in asked) == int(found.queries.sum())
    draws = [draw for _, draw in asked]
    assert draws[::2] == draws[1::2]  # both of a round are asked in the same noise
    assert len(set(draws)) == len(draws) / 2  # and every round in a fresh one


def test_it_goes_on_until_images_are_wrong_and_then_they_leave():
    model = linear_model()
    images, _, index = some(12, shape=(1, 4, 4))
    images = 0.3 + 0.4 * images
    labels = model(images).argmax(1)
    found = search(model, images, labels, 0.3, queries=120, index=index)
    right = right_under(model, found.images, labels, draws=1)[0]
    assert not right.any()
    assert int(found.queries.max()) < 120
    already = search(model, images, 1 - labels, 1e-6, queries=120, index=index)
    assert set(already.queries.tolist()) == {2 * SURE}


def test_it_finds_what_a_hidden_gradient_does_not():
    model, (images, _, index) = conv_model(encoder=Hidden(4)), some(12)
    labels = model(images, draw=1 << 32).argmax(1)
    found = search(model, images, labels, 0.5, queries=100, index=index)
    right = right_under(model, found.images, labels, draws=1)[0]
    assert right.double().mean() < 0.5
