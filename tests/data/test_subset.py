"""A stratified subset: shares, nesting, the same for every set of the same labels, and what is said of it."""

import pytest
import torch

from bntt.data import ImageSet, split_validation, stratified
from bntt.data.samples import how_chosen
from tests.rows import each_row


def images(labels, classes=3):
    labels = torch.as_tensor(labels)
    return ImageSet(torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, tuple("abcdefghijkl"[:classes]))


UNEVEN = images([0] * 60 + [1] * 30 + [2] * 10)


@each_row("count", [1, 2, 10, 37, 99, 100])
def test_places_are_ascending_and_every_class_has_its_share(count):
    places = stratified(UNEVEN, count, seed=5)
    assert len(places) == len(places.unique()) == count
    assert torch.equal(places, places.sort().values)
    counts = UNEVEN.select(places).counts()
    assert all(abs(found - count * share) <= 1 for found, share in zip(counts, (0.6, 0.3, 0.1), strict=True))


def test_a_smaller_subset_is_part_of_a_larger_one():
    small, large = stratified(UNEVEN, 13, seed=2), stratified(UNEVEN, 40, seed=2)
    assert torch.isin(small, large).all()
    assert not torch.equal(small, stratified(UNEVEN, 13, seed=3))


def test_neither_pixels_nor_names_matter():
    other = ImageSet(torch.ones(100, 2, 3, 3, dtype=torch.uint8), UNEVEN.labels, ("x", "y", "z"))
    assert torch.equal(stratified(UNEVEN, 20, seed=1), stratified(other, 20, seed=1))


def test_it_is_what_validation_is_split_by():
    assert torch.equal(split_validation(UNEVEN, 20, seed=7)[2], stratified(UNEVEN, 20, seed=7))


def test_these_places_for_good():
    """Written down: rows of results name a subset by its count and seed alone."""
    assert stratified(images([0, 1, 2] * 10), 6).tolist() == [3, 4, 9, 11, 20, 22]


@each_row("count", [0, -3, 101])
def test_a_count_out_of_range(count):
    with pytest.raises(ValueError, match=f"count must be 1 to 100, got {count}"):
        stratified(UNEVEN, count)


def test_what_is_said():
    assert how_chosen(UNEVEN, 100) == "all 100"
    assert how_chosen(UNEVEN, 10, 3) == "10 of 100, stratified by class, seed 3"
    assert how_chosen(UNEVEN, 2) == "2 of 100, stratified by class, seed 0, with 2 of the 3 classes"
    empty_class = images([0, 1] * 8, classes=3)
    assert how_chosen(empty_class, 4) == "4 of 16, stratified by class, seed 0"
