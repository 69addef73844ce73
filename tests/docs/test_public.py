"""Every public name says what it is, takes, gives and raises, and is shown once; methods say whose they are."""

import re

import pytest

from bntt.models.spiking import FIRE_RULES, SURROGATES
from bntt.nn import NORMS
from tests.docs.public import lacks, public_names

SOURCE = r"\d{4}|Eq\. \d|the paper|the authors|BNTT"
"""A year, an equation, or the method that it varies."""


def test_every_public_name_is_documented(monkeypatch):
    names = public_names(monkeypatch)
    assert {"bntt.BNTT", "bntt.ops.lif.lif_step", "bntt.register.norm", "bntt.runs.measure.measure"} <= names.keys()
    assert {name: found for name, one in names.items() if (found := lacks(one))} == {}


def undocumented(x: int, y: int) -> int:
    """Return x, with
    y.
    """
    if x:
        raise ValueError("x")
    return x


class Bare:
    """A class.

    >>> Bare(1)
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def grow(self) -> None:
        self.size += 1


class Returned:
    """A record; returned by :func:`undocumented`, which has no example."""


@pytest.mark.parametrize(
    ("one", "found"),
    [
        (undocumented, ["a summary of one line", "an example", "Args: x", "Args: y", "Raises: ValueError"]),
        (Bare, ["Args: size", "grow: a docstring"]),
        (Returned, ["an example"]),
    ],
)
def test_what_is_missing_is_named(one, found):
    assert lacks(one) == found


@pytest.mark.parametrize("kinds", [NORMS, SURROGATES, FIRE_RULES], ids=lambda kinds: kinds.kind)
def test_every_method_names_its_source(kinds):
    words = {name: getattr(one, "build", one).__doc__ for name, one in kinds.items()}
    assert [name for name, text in words.items() if not re.search(SOURCE, text)] == []
