"""Buffers that are used again, never by two at once, and found when they are used too long."""

from __future__ import annotations

import contextlib

import pytest
import torch

from bntt.engine.workspace import Workspace
from tests.rows import each_row


def test_a_buffer_belongs_to_its_lease_until_it_is_given_back():
    space = Workspace()
    one, other = space.lease(), space.lease()
    first, second = one.take(1000, 100), other.take(1000, 100)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    one.give(first)
    assert other.take(100, 1000).data_ptr() == place
    assert other.take(100, 1000).data_ptr() != place


@each_row("inference", [False, True])
def test_a_view_gives_the_whole_buffer_back_to_any_type_and_mode(inference):
    lease = Workspace().lease()
    with torch.inference_mode(inference):
        buffer = lease.take(400_000, dtype=torch.uint8)
        place = buffer.data_ptr()
        lease.give(buffer[1000:2000])
    again = lease.take(100_000)
    assert (again.data_ptr(), again.dtype) == (place, torch.float32)
    assert again.zero_().sum() == 0, "written over outside of the mode"


@pytest.mark.parametrize("size", [7, 100_000], ids=["small", "large"])
def test_what_is_not_out_of_a_lease_cannot_be_given_back_or_kept(size):
    space = Workspace()
    lease, other = space.lease(), space.lease()
    once, kept, foreign = lease.take(size), lease.take(size), other.take(size)
    lease.give(once, None)
    assert lease.keep(kept) is kept
    for buffer in (once, kept, foreign, torch.empty(size)):
        assert not lease.owns(buffer)
        for way in (lease.give, lease.keep):
            with pytest.raises(RuntimeError, match="not out of this lease"):
                way(buffer)
    nothing = lease.take(0, 5), lease.take(0, 5)
    lease.give(*nothing)


def test_the_end_of_a_lease_gives_back_what_is_out_also_by_an_error():
    space = Workspace()
    with contextlib.suppress(KeyboardInterrupt), space.lease() as lease:
        early, kept, popped = (lease.take(100_000) for _ in range(3))
        lease.give(early)
        lease.keep(kept)
        later = lease.pop_all()
        late = lease.take(200_000)
        raise KeyboardInterrupt
    assert {held.data_ptr() for held in space._free} == {early.data_ptr(), late.data_ptr()}
    lease.close()
    assert space.free_bytes() == 1_200_000
    assert later.owns(popped)
    later.close()
    assert space.free_bytes() == 1_600_000


def test_a_buffer_more_than_twice_too_large_is_left_for_others_and_clear_frees_all():
    space = Workspace()
    lease = space.lease()
    large = lease.take(10_000_000, dtype=torch.uint8)
    place = large.data_ptr()
    lease.give(large)
    assert lease.take(1_000_000, dtype=torch.uint8).data_ptr() != place
    space.clear()
    assert not space._free


def test_buffers_of_growing_sizes_do_not_add_up_and_two_networks_in_turn_keep_theirs():
    """Twice the most that was in use at once, whatever came before; a buffer that is dropped is not in use."""
    space = Workspace()
    for size in range(1_000_000, 5_000_000, 100_000):
        with space.lease() as lease:
            lease.take(size, dtype=torch.uint8)
    assert space.free_bytes() <= 2 * 4_900_000
    dropped = space.lease()
    dropped.take(4_000_000, dtype=torch.uint8)
    del dropped
    assert space._alive == space.free_bytes()
    space.clear()
    assert space._alive == 0
    turns = []
    for _ in range(2):
        for size in (3_000_000, 800_000):  # neither fits in the other's
            with space.lease() as lease:
                turns.append({lease.take(size, dtype=torch.uint8).data_ptr() for _ in range(2)})
    assert turns[:2] == turns[2:]
