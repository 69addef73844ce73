"""How bounds are written, what is asked for, and in which order it is done."""

import math

import pytest

from bntt.analysis.attack.threat import Threat
from bntt.runs.measures.attack_plan import Job, Plan, jobs, parse_eps
from bntt.runs.recipe.file import RecipeError


def test_bounds():
    assert [parse_eps(text) for text in ("8/255", "0.03", "1.0", "1/1", "1e-3", "255/255")] == [
        8 / 255, 0.03, 1.0, 1.0, 1e-3, 1.0
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8", "--eps 8: pixels run from 0 to 1; is 8/255 meant"),
        ("1", "--eps 1: .* is 1/255 meant"),
        ("8.0", "--eps 8.0: eps must be above 0 and at most 1.* 8/255 is meant"),
        ("300/255", "at most 1"),
        ("0", "of 0 the accuracy is the clean one"),
        ("0/255", "of 0 the accuracy is the clean one"),
        ("-8/255", "eps must be above 0"),
        ("nan", "eps must be above 0"),
        ("inf", "eps must be above 0"),
        ("8/0", "write it as 8/255 or 0.03"),
        ("eight", "write it as 8/255 or 0.03"),
        ("", "write it as 8/255 or 0.03"),
    ],
)
def test_bounds_that_are_none(text, message):
    with pytest.raises(RecipeError, match=message):
        parse_eps(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eps": ()}, "needs a bound"),
        ({"attacks": ()}, "needs a bound"),
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"restarts": 0}, "--restarts must be 1 or more"),
        ({"eot": 0}, "--eot must be 1 or more"),
        ({"images": 0}, "--images must be 1 or more"),
        ({"draws": 0}, "--draws must be 1 or more"),
        ({"queries": 1}, "--queries must be 2 or more"),
        ({"step_size": math.nan}, "step_size"),
        ({"eps": (0.0,)}, "the clean one"),
    ],
)
def test_plans_without_sense_are_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        Plan(**{"eps": (0.1,)} | values)


def test_the_order():
    plan = Plan((0.1, 0.2), ("fgsm", "pgd", "square"), steps=5, step_size=0.01, restarts=2, queries=30)
    found = list(jobs(plan, (("a", "b"), ("exact",)), (16, 1)))
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
    assert (first[5].queries, first[5].passes, first[5].along) == (30, 30, False)
    assert {job.eps for job in second} == {0.2}
    assert [job.attack for job in jobs(Plan((0.1,), ("square",)), (("a",),), (16,))] == ["clean", "signs", "square"]
