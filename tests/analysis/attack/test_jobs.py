"""The order of attacks, what a batch's file must hold, sums over batches, and who is right under fresh noise."""

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attack import AttackArguments
from bntt.analysis.attack.attacks import Batch, Job, Outcome, Threat, jobs, right_under
from bntt.analysis.result import result_from
from tests.analysis.attack.models import conv_model, some

FIRST = Batch(
    right=(("110", "100"), ("000", "111")),
    zero="010",
    change=(0.1, 0.0, 0.2),
    queries=(4, 8, 8),
    seconds=1.5,
)
SECOND = Batch(right=(("1", "0"), ("0", "1")), zero="1", change=(0.3,), queries=(0,), seconds=0.5)


def test_batches_add_up():
    found = Outcome(complete=True, batches=(FIRST, SECOND))
    assert found.right(0).tolist() == [[True, True, False, True], [True, False, False, False]]
    assert found.right(1).int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert (found.share_right(0), found.share_right(1)) == (0.5, 0.5)
    assert found.zero == 0.5
    assert (found.change, found.queries, found.seconds) == (0.3, 5.0, 2.0)


def test_a_batch_that_is_none_is_refused():
    values = FIRST.model_dump(mode="json")
    assert result_from(Batch, values | {"agreement": [0.5]}) == FIRST, "as files of earlier versions have it"
    for harm in ({"right": [["12x", "100"], ["000", "111"]]}, {"seconds": None}, {"zero": "2"}):
        with pytest.raises(ValueError, match=next(iter(harm))):
            result_from(Batch, values | harm)


def test_the_order():
    asked = AttackArguments(("0.1", "0.2"), steps=5, step_size="0.01", restarts=2, queries=30)
    found = list(jobs(asked, (("a", "b"), ("exact",)), (16, 1)))
    controls = [(source, name, Threat(1.0, 5, draws=draws, random_start=True)) for source, name, draws in (
        (0, "a", 16), (0, "b", 16), (1, "exact", 1)
    )]  # fmt: skip
    assert found[:4] == [
        Job(0, "clean"), *(Job(source, "pgd", 1.0, name, threat, control=True) for source, name, threat in controls)
    ]  # fmt: skip
    half = (len(found) - 4) // 2
    first, second = found[4 : 4 + half], found[4 + half :]
    assert [(job.source, job.attack, job.estimator) for job in first] == [
        (0, "signs", ""), (0, "fgsm", "a"), (0, "fgsm", "b"), (0, "pgd", "a"), (0, "pgd", "b"), (0, "square", ""),
        (1, "fgsm", "exact"), (1, "pgd", "exact"), (1, "square", ""),
    ]  # fmt: skip
    assert first[1].threat == Threat(0.1, draws=16)
    assert first[3].threat == Threat(0.1, 5, 0.01, 2, 16, random_start=True)
    assert (first[5].queries, first[5].threat) == (30, None)
    assert {job.eps for job in second} == {0.2}
    few = jobs(AttackArguments(("0.1",), ("square",)), (("a",),), (16,))
    assert [job.attack for job in few] == ["clean", "signs", "square"]


def test_who_is_right_is_what_an_evaluation_counts():
    model, (images, labels, index) = conv_model(), some()
    right = right_under(model, images, labels, draws=3, seed=4)
    assert torch.equal(right, evaluate(model, [(images, labels)], seed=4, draws=3).right)
    assert 0 < right.double().mean() < 1
    whole = right_under(model, images, labels, draws=2, index=index)
    assert torch.equal(right_under(model, images[2:4], labels[2:4], draws=2, index=index[2:4]), whole[:, 2:4])
