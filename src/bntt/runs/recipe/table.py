"""Base of all recipe tables, frozen and closed to unknown keys, and the number types they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import ConfigDict

from bntt.options import Limits, check_options

Steps = Annotated[int, Limits(at_least=1, at_most=100_000, unit="time steps")]
Positive = Annotated[int, Limits(at_least=1, at_most=1_000_000)]
Number = Annotated[int, Limits(at_least=0)]
Scale = Annotated[float, Limits(above=0, below=1_000_000)]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key, what was expected and what came."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table: closed to unknown keys, strict about types, each option checked as its field says."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", strict=True)

    def __post_init__(self) -> None:
        check_options(self)
