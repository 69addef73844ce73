"""What every claim has."""

import pytest

from bntt.studies.claim import Claim, with_starts


def test_few_starts_are_preliminary():
    assert with_starts("x", 4).endswith("4 starts (preliminary: fewer than 5)")
    assert with_starts("x", 5) == "x; 5 starts"
    assert with_starts("x", 1) == "x; 1 start (preliminary: fewer than 5)"
    assert with_starts("nothing", 0) == "nothing"


def test_a_claim_alone_decides_nothing():
    bare = Claim(says="x", rule="none")
    for ask in (bare.uses, bare.in_words, lambda: bare.judge({}, {})):
        with pytest.raises(NotImplementedError):
            ask()
