"""A claim of a study: what is said, and the rule that was written down to decide it before its runs are made.

Every rule looks at numbers of starts and knows four answers. "holds" and "does not hold" ask for at least two starts,
"not decided" is what the numbers leave open, "not run" that there are none. With fewer than five starts all of it is
preliminary, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from bntt.analysis.accuracy.accuracy import FEW
from bntt.runs.recipe.toml_part import Part

Answer = Literal["holds", "does not hold", "not decided", "not run"]
Numbers = Mapping[tuple[str, str], Mapping[int, float]]
"""Of a run and a column, the number of every start, by seed."""
Same = Mapping[str, str]
"""Of runs that are another by definition, which: :func:`~bntt.studies.same_by_definition.same_runs`."""
NONE_SAME: Same = MappingProxyType({})


@dataclass(frozen=True)
class Verdict:
    """What a rule says."""

    answer: Answer
    because: str


class Claim(Part):
    """``[[claims]]``: what is said, and the rule that decides it."""

    says: Annotated[str, Field(min_length=1)]
    source: str = ""
    """Where the paper says so; "" where it does not."""
    rule: str

    def uses(self) -> tuple[list[str], list[str]]:
        """The runs and the columns that it looks at."""
        raise NotImplementedError  # each rule says its own

    def judge(self, numbers: Numbers, units: Mapping[str, str], same: Same = NONE_SAME) -> Verdict:
        """The answer that these numbers give."""
        raise NotImplementedError  # each rule says its own

    def in_words(self) -> str:
        """The rule in words."""
        raise NotImplementedError  # each rule says its own


def with_starts(said: str, starts: int) -> str:
    """What was found, with the number of starts that it is of.

    >>> with_starts("as much", 3)
    'as much; 3 starts (preliminary: fewer than 5)'
    """
    if not starts:
        return said
    preliminary = f" (preliminary: fewer than {FEW})" if starts < FEW else ""
    return f"{said}; {starts} start{'s' * (starts > 1)}{preliminary}"
