"""Parts by names alone: fixed, stratified, stored, and without a recording in both."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from bntt.data.catalog import (
    content_of,
    refuse_overlap,
    split_digest,
    split_recordings,
)
from bntt.data.events.binning import Events
from bntt.io.errors import DataError
from tests.rows import each_row

CIFAR10_DVS = [f"{label}/cifar10_{label}_{number}" for label in ("airplane", "truck") for number in range(1000)]


def test_a_tenth_of_every_class_by_its_names_digests():
    split = split_recordings(CIFAR10_DVS)
    assert (len(split["train"]), len(split["test"])) == (1800, 200)
    assert sorted((*split["train"], *split["test"])) == sorted(CIFAR10_DVS)
    trucks = sorted(CIFAR10_DVS[1000:], key=lambda name: hashlib.sha256(name.encode()).digest())[:100]
    assert [name for name in split["test"] if name.startswith("truck/")] == sorted(trucks)


def test_the_split_is_the_one_that_was_published_with_this_version():
    split = split_recordings(CIFAR10_DVS)
    assert split["test"][:2] == ["airplane/cifar10_airplane_10", "airplane/cifar10_airplane_102"]
    assert split_digest(split)[:16] == "6ae16877de496660"


def test_order_and_other_classes_do_not_matter():
    split = split_recordings(reversed(CIFAR10_DVS))
    assert split == split_recordings(CIFAR10_DVS)
    alone = split_recordings(CIFAR10_DVS[:1000])
    assert alone["test"] == [name for name in split["test"] if name.startswith("airplane/")]


@each_row(("count", "share", "tests"), [(2, 0.1, 1), (2, 0.9, 1), (14, 0.1, 1), (16, 0.1, 2), (3, 0.99, 2)])
def test_both_parts_have_some_of_every_class(count, share, tests):
    split = split_recordings([f"{c}/{i}" for c in "abc" for i in range(count)], share)
    assert [sum(name[0] == c for name in split["test"]) for c in "abc"] == [tests] * 3


def test_a_class_of_one_recording_cannot_be_split():
    with pytest.raises(DataError, match="class b has 1 recording: training and test need"):
        split_recordings(["a/1", "a/2", "b/1"])


def test_a_name_that_changes_part_changes_the_digest():
    parts = [(["a/1", "a/2"], ["a/3"]), (["a/1"], ["a/2", "a/3"]), (["a/2", "a/1"], ["a/3"]), (["a/1", "\udcff"], [])]
    assert len({split_digest({"train": train, "test": test}) for train, test in parts}) == 4


def test_content_is_that_of_the_events():
    events = Events(np.array([7, 9]), *(np.array(v, "u2") for v in ([1, 2], [3, 4], [0, 1])), 5, 6)
    same = Events(np.array([107, 109]), *(np.array(v, "i8") for v in ([1, 2], [3, 4], [0, 1])), 5, 6, left_out=3)
    assert content_of(events) == content_of(same)
    changes = {"t": np.array([7, 8]), "x": np.array([1, 1]), "y": np.array([3, 3]), "p": np.array([1, 1]), "width": 7}
    others = [content_of(replace(events, **{name: value})) for name, value in changes.items()]
    assert len({content_of(events), *others}) == 6


def test_the_same_recording_in_both_parts_is_refused():
    with pytest.raises(DataError, match=r"dog/1 \(test\) and cat/1 \(train\) are the same recording"):
        refuse_overlap({"train": {"cat/0": "a", "cat/1": "b"}, "test": {"dog/0": "c", "dog/1": "b"}})
    with pytest.raises(DataError, match="are the same recording"):
        refuse_overlap({"train": {"cat/0": "a"}, "test": {"cat/0": "a"}})
    assert refuse_overlap({"train": {"cat/0": "a", "cat/1": "a", "cat/2": "a"}, "test": {"cat/0": "b"}}) == 2
