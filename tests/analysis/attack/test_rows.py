"""Rows of attacks: what each says, the worst case, and which are worth nothing and why."""

import sys

import pytest
import torch

from bntt.analysis.accuracy import wilson
from bntt.analysis.accuracy.evaluation import paired
from bntt.analysis.attack import AttackArguments, AttackedModel
from bntt.analysis.attack.attacks import Batch, Job, Outcome, Setup, Threat, attack_rows, worst_of
from bntt.data import ImageSet

COUNT = 100
BOUND = Job(0, "pgd", 1.0, "a", Threat(1.0, 5, draws=4, random_start=True), control=True)
FGSM, PGD = Job(0, "fgsm", 0.1, "a", Threat(0.1, draws=4)), Job(0, "pgd", 0.1, "a", Threat(0.1, 5, draws=4))
SQUARE, SIGNS, CLEAN = Job(0, "square", 0.1, queries=30), Job(0, "signs", 0.1), Job(0, "clean")


def cell(job, *right, zero=0, draws=1):
    """Of one model for each number of images that are right: the first ones, or those of a range."""
    rows = []
    for some in right:
        some = range(some) if isinstance(some, int) else some
        rows.append(draws * ("".join("01"[number in some] for number in range(COUNT)),))
    zeros = "1" * zero + "0" * (COUNT - zero) if job.threat else ""
    asked = COUNT * (8,) if job.queries else ()
    batch = Batch(right=rows, zero=zeros, change=(job.eps,), queries=asked, seconds=2.0)
    return job, Outcome(complete=True, batches=(batch,))


def of(models=1):
    images = ImageSet(torch.zeros(COUNT, 1, 2, 2, dtype=torch.uint8), torch.arange(COUNT) % 10, tuple("abcdefghij"))
    attacked = [
        AttackedModel(name=f"run{n}", weights_sha256="abc", randomness="none" if n else "redrawn")
        for n in range(models)
    ]
    return Setup(AttackArguments(eps=("0.1",)), (), attacked, images, torch.arange(COUNT), "100 of 200", 1)


def found(*cells, models=1):
    return {
        (row.attack, row.estimator, row.crafted_on, row.model): row.model_dump()
        for row in attack_rows(of(models), dict([cell(CLEAN, *models * [90]), *cells]))
    }


def test_what_a_row_says():
    rows = found(cell(BOUND, 0), cell(SIGNS, 88), cell(FGSM, 40), cell(PGD, 30), cell(SQUARE, 35))
    row, square = rows["pgd", "a", "run0", "run0"], rows["square", "", "run0", "run0"]
    expected = {
        "eps": 0.1, "eps_255": pytest.approx(25.5), "accuracy": 0.3, "low_95": wilson(0.3, 100)[0],
        "high_95": wilson(0.3, 100)[1], "sd_over_draws": None, "clean_accuracy": 0.9, "images": 100,
        "chosen": "100 of 200", "draws": 1, "eot": 4, "steps": 5, "step_size": pytest.approx(0.05), "restarts": 1,
        "zero_gradient_share": 0.0, "largest_change": 0.1, "seconds": 2.0, "invalid": "", "queries": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    expected = {"queries": 30, "queries_used": 8, "eot": None, "zero_gradient_share": None}
    assert {name: square[name] for name in expected} == expected


def test_the_worst_case_is_image_by_image():
    """The attack of each image: of a model with noise as the other draws have it, and with one draw one for all."""
    cells = [cell(SIGNS, 90, draws=2), cell(FGSM, range(0, 40), draws=2), cell(PGD, range(20, 50), draws=2)]
    worst = found(*cells)["worst case", "any", "any", "run0"]
    assert (worst["accuracy"], worst["invalid"], worst["seconds"]) == (0.2, "", 6.0)
    once = found(cell(SIGNS, 90), cell(FGSM, range(0, 40)), cell(PGD, range(20, 50)))
    assert once["worst case", "any", "any", "run0"]["accuracy"] == 0.3
    pairs = [cell(SIGNS, 90, 90), cell(FGSM, range(0, 40), range(0, 40)), cell(PGD, range(20, 50), range(20, 50))]
    assert found(*pairs, models=2)["worst case", "any", "any", "run1"]["accuracy"] == 0.2


def invalid(rows):
    return {key[0]: row["invalid"] for key, row in rows.items() if row["invalid"]}


def test_zero_gradients_are_told():
    assert not invalid(found(cell(FGSM, 40, zero=1), cell(PGD, 30)))
    wrong = invalid(found(cell(FGSM, 40, zero=2), cell(PGD, 30)))
    assert wrong.keys() == {"fgsm", "worst case"}
    assert "zero" in wrong["fgsm"]
    assert "2.0%" in wrong["fgsm"]


def test_an_attack_that_cannot_win_without_a_bound_makes_its_estimators_rows_invalid():
    other = Job(0, "fgsm", 0.1, "b", Threat(0.1, draws=4))
    assert not invalid(found(cell(BOUND, 10), cell(FGSM, 40), cell(PGD, 30)))
    widest = Job(0, "fgsm", 1.0, "a", Threat(1.0, draws=4))
    assert not invalid(found(cell(BOUND, 10), cell(FGSM, 40), cell(widest, 0))), "the control is no attack to compare"
    rows = found(cell(BOUND, 11), cell(FGSM, 40), cell(PGD, 30), cell(other, 40), cell(SQUARE, 35))
    assert invalid(rows).keys() == {"pgd, no bound", "fgsm", "pgd", "worst case"}
    assert rows["fgsm", "b", "run0", "run0"]["invalid"] == ""
    assert "chance (10.0%)" in rows["pgd", "a", "run0", "run0"]["invalid"]


def test_several_steps_that_are_weaker_than_one():
    assert not invalid(found(cell(FGSM, 40), cell(PGD, 42)))
    assert "20.0 points" in invalid(found(cell(FGSM, 40), cell(PGD, 60)))["pgd"]


def test_a_search_that_does_better_makes_gradients_invalid():
    assert not invalid(found(cell(FGSM, 40), cell(PGD, 30), cell(SQUARE, 29)))
    wrong = invalid(found(cell(FGSM, 40), cell(PGD, 30), cell(SQUARE, 5)))
    assert wrong.keys() == {"fgsm", "pgd", "worst case"}
    assert "25.0 points" in wrong["pgd"]
    assert not invalid(found(cell(SQUARE, 5)))


def test_transfer_rows_and_blame():
    """What is blamed on the one that images are made on does not touch the other's own rows."""
    theirs = Job(1, "fgsm", 0.1, "exact", Threat(0.1, draws=1))
    rows = found(cell(FGSM, 40, 70, zero=100), cell(theirs, 60, 20), models=2)
    assert rows["fgsm", "a", "run0", "run1"]["accuracy"] == 0.7
    assert rows["fgsm", "exact", "run1", "run0"]["accuracy"] == 0.6
    assert rows["fgsm", "a", "run0", "run1"]["invalid"]
    assert not rows["fgsm", "exact", "run1", "run1"]["invalid"]
    assert rows["worst case", "any", "any", "run1"]["accuracy"] == 0.2


def test_what_is_weak_on_one_model_says_nothing_of_transfer():
    rows = found(cell(FGSM, 40, 70), cell(PGD, 60, 80), cell(SQUARE, 5, 20), models=2)
    assert rows["pgd", "a", "run0", "run0"]["invalid"]
    assert rows["fgsm", "a", "run0", "run0"]["invalid"]
    assert not rows["pgd", "a", "run0", "run1"]["invalid"]
    assert not rows["fgsm", "a", "run0", "run1"]["invalid"]


def test_chance_is_no_attack():
    """Attacks that do nothing, each measured under noise of its own, leave the accuracy where it was."""
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(6, 10, 400, generator=generator) < 0.6
    assert right.all(0).double().mean() < 0.06
    assert worst_of(right, random=True).double().mean() == pytest.approx(0.6, abs=0.02)
    assert worst_of(right, random=True).sum() <= right.sum((1, 2)).min()
    assert worst_of(right[:, :1], random=True).double().mean() == right[:, 0].double().mean(1).min()


def test_the_worst_attack_of_each_image_is_found():
    """Written out: of two attacks one turns the first half of the images in most draws, the other the second."""
    right = torch.ones(3, 5, 8, dtype=torch.bool)
    right[0, :4, :4] = False
    right[1, 1:, 4:] = False
    expected = torch.stack([right[0, :, n] if n < 4 else right[1, :, n] for n in range(8)], 1)
    assert torch.equal(worst_of(right, random=True), expected)
    assert torch.equal(worst_of(right, random=False), right.all(0))


def beside(first: int, second: int, both: int = 40):
    """Images that two attacks leave right: both some, and each some that the other does not."""
    return {*range(both + first)}, {*range(both), *range(both + first, both + first + second)}


@pytest.mark.parametrize(("first", "second", "weaker"), [(30, 2, True), (6, 4, False), (2, 30, False), (0, 0, False)])
def test_a_difference_counts_beyond_its_interval(first, second, weaker):
    one, other = beside(first, second)
    assert ("pgd" in invalid(found(cell(FGSM, other), cell(PGD, one)))) == weaker
    assert ("fgsm" in invalid(found(cell(FGSM, one), cell(SQUARE, other)))) == weaker


def test_a_search_may_do_better_by_a_fifth_of_a_point(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "COUNT", 10_000)
    for first, told in ((18, False), (30, True)):
        one, other = beside(first, 0, 9000)
        assert paired(*(torch.arange(COUNT)[None] < len(some) for some in (one, other))).interval[0] > 0
        assert ("fgsm" in invalid(found(cell(FGSM, one), cell(SQUARE, other)))) == told
