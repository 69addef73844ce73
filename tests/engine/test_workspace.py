"""Buffers that are used again, and never by two at once."""

import torch

from bntt.engine.workspace import Workspace


def test_a_buffer_belongs_to_its_taker_until_it_is_given_back():
    space = Workspace()
    first, second = space.take(1000, 100), space.take(1000, 100)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    space.give(first)
    assert space.take(100, 1000).data_ptr() == place
    assert space.take(100, 1000).data_ptr() != place


def test_a_view_gives_the_whole_buffer_back_and_types_may_differ():
    space = Workspace()
    buffer = space.take(400_000, dtype=torch.uint8)
    place = buffer.data_ptr()
    space.give(buffer[1000:2000])
    again = space.take(100_000)
    assert (again.data_ptr(), again.dtype) == (place, torch.float32)


def test_a_buffer_more_than_twice_too_large_is_left_for_others_and_clear_frees_all():
    space = Workspace()
    large = space.take(10_000_000, dtype=torch.uint8)
    place = large.data_ptr()
    space.give(large)
    assert space.take(1_000_000, dtype=torch.uint8).data_ptr() != place
    space.clear()
    assert not space._free


def test_buffers_of_growing_sizes_do_not_add_up_and_two_networks_in_turn_keep_theirs():
    """Twice the most that was in use at once, whatever came before; a buffer that is dropped is not in use."""
    space = Workspace()
    for size in range(1_000_000, 5_000_000, 100_000):
        space.give(space.take(size, dtype=torch.uint8))
    assert space.free_bytes() <= 2 * 4_900_000
    dropped = space.take(4_000_000, dtype=torch.uint8)
    del dropped
    assert space._alive == space.free_bytes()
    space.clear()
    assert space._alive == 0
    turns = []
    for _ in range(2):
        for size in (3_000_000, 800_000):  # neither fits in the other's
            taken = [space.take(size, dtype=torch.uint8) for _ in range(2)]
            turns.append({buffer.data_ptr() for buffer in taken})
            space.give(*taken)
    assert turns[:2] == turns[2:]
