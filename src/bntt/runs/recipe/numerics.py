"""The number of the numbers: which results of other commits are those that this one would give.

A result is used again only where it was made under the same number. Whoever changes what a training computes, on
purpose or not, is told by ``tests/golden/test_losses.py``, whose small trainings must give the losses that are
written down, and then raises :data:`NUMERICS` by one, writes the losses anew (``python -m tests.golden.make_losses``)
and says under *Numerics* in CHANGELOG.md what changed. Where only recipes that use one option give other numbers,
that option gets a version of its own in :mod:`bntt.runs.recipe.option_versions` instead, and no other result is
thrown away. A change that rounds sums otherwise is no such change: the losses agree to 1e-9 in float64. Counting
commits instead would throw results away for a word in a docstring, and hashing source files for a comment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NUMERICS = 1
"""Raised by hand when the same recipe gives other numbers than before."""


def numerics_of(environment: Mapping[str, Any]) -> int:
    """Under which number a result was made, from its ``environment.json``; those from before there was one are 1.

    >>> numerics_of({"numerics": 3}), numerics_of({"bntt": "0.1.0"})
    (3, 1)
    """
    found = environment.get("numerics", 1)
    return found if type(found) is int else 0
