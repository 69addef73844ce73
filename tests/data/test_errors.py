"""The error of this room is a ValueError, so that users who catch those catch it."""

from bntt.data.errors import DataError


def test_it_is_a_value_error():
    assert issubclass(DataError, ValueError)
