"""Records of results: numbers that are none, paths, faults in one line, and flags."""

from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge, Le

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import Number, Result, at_path, checked_arguments, result_from


class Made(Result):
    values: list[Number]


MADE = {"dataset": "d", "split": "test", "values": [1, float("nan"), float("inf"), 1e200, None]}


def test_numbers_that_are_none_are_none():
    assert result_from(Made, MADE | {"unknown": 3}).values == [1, None, None, None, None]


def test_a_fault_is_one_line_with_its_place():
    with pytest.raises(ValueError, match=r"^values\.1: Input should be a valid number[^\n]*$"):
        result_from(Made, MADE | {"values": [1, "x"]})
    with pytest.raises(ValueError, match=r"valid dictionary or instance"):
        result_from(Made, [1])


def test_paths_end_at_numbers():
    values = {"a": [{"b": 2}], "c": True, "d": "3"}
    assert [at_path(values, path) for path in ("a.0.b", "a.1.b", "a.x", "c", "d", "a", "e.f")] == [2, *[None] * 6]


@dataclass(frozen=True)
class Asked:
    draws: Annotated[int, Ge(1)] = 1
    loss: Annotated[float, Ge(0), Le(100)] = 0.5
    sigmas: tuple[float, ...] = (0.0,)

    def __post_init__(self):
        if self.draws == 7:
            raise ArgumentError("--draws 7: not today")


def test_arguments_are_checked_by_type_and_bounds():
    assert checked_arguments(Asked, {"sigmas": [1, 2]}) == Asked(sigmas=(1.0, 2.0))
    for values, message in (
        ({"draws": 0}, "--draws must be 1 or more, got 0"),
        ({"loss": 101.0}, "--loss must be 100.* or less, got 101"),
        ({"loss": float("nan")}, "--loss must be"),
        ({"draws": "many"}, "--draws: input should be a valid integer.*got 'many'"),
        ({"draws": 7}, "^--draws 7: not today$"),
    ):
        with pytest.raises(ArgumentError, match=message):
            checked_arguments(Asked, values)
