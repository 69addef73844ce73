"""The order in which attacks are made, what a batch's file must hold, and sums over batches."""

import pytest

from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.outcome import Batch, Job, Outcome, jobs
from bntt.analysis.attack.threat import Threat
from bntt.analysis.result import result_from

FIRST = Batch(
    right=(("110", "100"), ("000", "111")),
    zero="010",
    agreement=(0.5, float("nan"), 1.0),
    change=(0.1, 0.0, 0.2),
    queries=(4, 8, 8),
    seconds=1.5,
)
SECOND = Batch(right=(("1", "0"), ("0", "1")), zero="1", agreement=(None,), change=(0.3,), queries=(0,), seconds=0.5)


def test_batches_add_up():
    found = Outcome(Job(0, "square"), (FIRST, SECOND))
    assert found.right(0).tolist() == [[True, True, False, True], [True, False, False, False]]
    assert found.right(1).int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert (found.share_right(0), found.share_right(1)) == (0.5, 0.5)
    assert found.zero.tolist() == [False, True, False, True]
    assert (found.agreement, found.change, found.queries, found.seconds) == (0.75, 0.3, 5.0, 2.0)
    assert Outcome(Job(0, "signs"), (SECOND,)).agreement is None


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ({"right": [["11", "100"], ["000", "111"]]}, "rows of several lengths"),
        ({"right": [["12x", "100"], ["000", "111"]]}, "match pattern"),
        ({"seconds": None}, "seconds: .* number"),
        ({"zero": "2"}, "zero: .* pattern"),
    ],
)
def test_a_batch_that_is_none_is_refused(harm, why):
    values = FIRST.model_dump(mode="json")
    assert result_from(Batch, values) == FIRST
    with pytest.raises(ValueError, match=why):
        result_from(Batch, values | harm)


def test_the_order():
    asked = AttackArguments(("0.1", "0.2"), steps=5, step_size="0.01", restarts=2, queries=30)
    found = list(jobs(asked, (("a", "b"), ("exact",)), (16, 1)))
    assert found[0] == Job(0, "clean")
    assert found[1:4] == [
        Job(0, "pgd", 1.0, "a", Threat(1.0, 5, draws=16, random_start=True), control=True),
        Job(0, "pgd", 1.0, "b", Threat(1.0, 5, draws=16, random_start=True), control=True),
        Job(1, "pgd", 1.0, "exact", Threat(1.0, 5, draws=1, random_start=True), control=True),
    ]
    half = (len(found) - 4) // 2
    first, second = found[4 : 4 + half], found[4 + half :]
    assert [(job.source, job.attack, job.estimator) for job in first] == [
        (0, "signs", ""),
        (0, "fgsm", "a"),
        (0, "fgsm", "b"),
        (0, "pgd", "a"),
        (0, "pgd", "b"),
        (0, "square", ""),
        (1, "fgsm", "exact"),
        (1, "pgd", "exact"),
        (1, "square", ""),
    ]
    assert first[1].threat == Threat(0.1, draws=16)
    assert first[3].threat == Threat(0.1, 5, 0.01, 2, 16, random_start=True)
    assert (first[5].queries, first[5].passes, first[5].threat) == (30, 30, None)
    assert {job.eps for job in second} == {0.2}
    assert [job.attack for job in jobs(AttackArguments(("0.1",), ("square",)), (("a",),), (16,))] == [
        "clean",
        "signs",
        "square",
    ]
