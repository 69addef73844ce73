"""What the equivalence measurement declares."""

from dataclasses import replace

from bntt.analysis.equivalence.measurement import EQUIVALENCE, EquivalenceArguments
from bntt.analysis.measurement import Facts

FACTS = Facts("vgg9", "bntt", "poisson", 25, False, 5, True)


def test_files_of_the_other_split_are_their_own():
    assert EQUIVALENCE.stem(EquivalenceArguments()) == "equivalence"
    assert EQUIVALENCE.stem(EquivalenceArguments(split="test")) == "equivalence-test"


def test_what_folds_to_nothing_is_refused():
    asked = EquivalenceArguments()
    assert EQUIVALENCE.refusal(FACTS, asked) == EQUIVALENCE.refusal(replace(FACTS, norm="tebn"), asked) == ""
    assert "nothing to fold" in EQUIVALENCE.refusal(replace(FACTS, norm="layer"), asked)
    assert "no spikes" in EQUIVALENCE.refusal(replace(FACTS, is_ann=True), asked)
