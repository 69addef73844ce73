"""Some cases of every kind, and what the fuzzer itself must see. A case that is found is looked at with
``python -m tests.fuzz --kinds KIND --first NUMBER --cases 1``."""

from __future__ import annotations

import os
import time
from collections import Counter
from itertools import islice

import pytest
import torch
from torch import nn

from bntt.engine.workspace import WORKSPACE
from bntt.nn import LIF
from tests.fuzz import workers
from tests.fuzz.__main__ import names
from tests.fuzz.cases import KINDS, draw_case
from tests.fuzz.changes import Doubled, laid, negated, packed
from tests.fuzz.conditions import choose, holding
from tests.fuzz.judge import Verdict, differences, judge, margins, run
from tests.fuzz.networks import Dice, draw_network
from tests.fuzz.uses import Job
from tests.fuzz.workers import FOUND, verdict_of, verdicts
from tests.kernels import needs_kernels

pytestmark = needs_kernels
QUICK, CASES = range(0, 80, 20), range(80, 720, 64)
"""The first of those that every test run judges, and of the others."""
SOME = 3
"""Ties among a hundred cases at most, and as many whose difference is noise, or that are refused."""


@pytest.mark.parametrize(
    ("first", "count"),
    [*((first, QUICK.step) for first in QUICK)]
    + [pytest.param(first, CASES.step, marks=pytest.mark.slow) for first in CASES],
)
def test_the_fused_path_is_the_plain_one_and_few_cases_are_undecided(first, count):
    verdicts = [judge(number) for number in range(first, first + count)]
    assert not [f"case {v.case}: {v.what}" for v in verdicts if v.kind == "different"]
    kinds = Counter(verdict.kind for verdict in verdicts)
    assert max(kinds["tie"], kinds["noise"], kinds["refused"]) <= SOME
    assert kinds["raised"] < count / 2, "cases that only raise compare nothing"
    assert sum(verdict.fused for verdict in verdicts) >= 0.3 * count


@pytest.mark.parametrize(("first", "cases"), [(0, 4), pytest.param(4, 8, marks=pytest.mark.slow)])
def test_the_kernels_are_plain_pytorch_at_the_borders(first, cases):
    """So many of every kind, in a process of their own."""
    judged = list(verdicts(islice(names(tuple(KINDS), first), cases * len(KINDS))))
    expected = {(kind, number) for kind in KINDS for number in range(first, first + cases)}
    assert {(verdict.of, verdict.case) for verdict in judged} == expected
    assert not [f"{v.kind}, {v.of} case {v.case}: {v.what}" for v in judged if v.kind in FOUND]
    answered = Counter(v.of for v in judged if v.kind not in ("raised", "refused"))
    assert answered.total() > len(judged) / 2, "cases that only raise compare nothing"
    assert answered.keys() == KINDS.keys(), "and every kind has some that answer"


def test_a_case_is_its_number():
    one, two = draw_case(7), draw_case(7)
    assert str(one.drawn.net) == str(two.drawn.net)
    one, two = (run(draw_case(3, kind="bias"), fused=False) for _ in range(2))
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items() if isinstance(value, torch.Tensor))


def test_a_tie_is_seen():
    drawn = draw_network(Dice(1, "network"))
    choose(drawn.net, "reference", "never", "never", "fp32")
    with margins() as nearest, torch.no_grad():
        ordinary = [lif for lif in drawn.net.eval().modules() if isinstance(lif, LIF)]
        for lif in ordinary:
            lif(torch.full((1, 1, 1), lif.neuron.threshold))
    assert ordinary
    assert nearest[0] == 0


def test_gradients_of_a_constant_are_none_or_zeros():
    """Plain PyTorch refuses to go back from what no parameter reaches; a fused run gives zeros, and nothing else."""
    case, plain = draw_case(0), {"error": RuntimeError, "message": "element 0 of tensors does not require grad"}
    assert not differences(case, {"grad of w": torch.zeros(2), "grad of v": None}, plain)
    assert differences(case, {"grad of w": torch.ones(2)}, plain)
    assert differences(case, {"grad of w": torch.zeros(2)}, {**plain, "message": "another"})


def test_memory_that_was_given_back_is_nan_and_giving_it_twice_fails():
    conditions = draw_case(0).conditions
    with holding(conditions, fused=True), WORKSPACE.lease() as lease:
        buffer = lease.take(1 << 16)
        assert buffer.isnan().all()
        buffer.zero_()
        lease.give(buffer)
        assert buffer.isnan().all()
        with pytest.raises(RuntimeError, match="given back before"):
            lease.give(buffer)


@pytest.mark.parametrize("kind", ["default-dtype", "default-device", "threads", "dispatch-mode", "patched"])
def test_a_kind_leaves_pytorch_as_it_was(kind):
    def defaults() -> object:
        forwards = nn.Linear.forward, nn.Conv2d.forward, nn.Conv2d._conv_forward, nn.Flatten.forward
        modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
        return torch.get_default_dtype(), torch.get_default_device(), forwards, modes, torch.is_grad_enabled()

    before = defaults()
    for number in range(4):
        case = draw_case(number, kind=kind)
        job = Job(case.drawn.net, case.drawn, Dice(number, "inputs"), False, ours=True)
        with pytest.raises(KeyError), case.around(job, Dice(number, kind)):
            raise KeyError
        assert defaults() == before


def test_tensors_that_lie_anyhow_are_the_same_numbers():
    values = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(negated(values), values)
    assert negated(values).is_neg()
    assert torch.equal(packed(values, in_bytes=False) * 1, values)
    assert (packed(values / 4, in_bytes=True) - values / 4).abs().max() < 1 / 64
    given = torch.ones(2, 5)
    weight = values.view(6, 8)[:, :5]
    twice = nn.functional.linear(given, weight.as_subclass(Doubled))
    assert torch.equal(twice, 2 * nn.functional.linear(given, weight))
    for number in range(20):
        way, value = laid(values, Dice(number, "layout"))
        assert way == "expanded" or torch.equal(value, values)


def end_if_odd(kind: str, number: int) -> Verdict:
    if number % 2:
        os._exit(3)
    return Verdict(kind, number, "same", True)


def test_a_process_that_ends_is_a_finding_and_another_goes_on(monkeypatch):
    monkeypatch.setattr(workers, "verdict_of", end_if_odd)
    ends = {v.case: v.kind for v in verdicts([("tied", number) for number in range(4)], jobs=2)}
    assert ends == {0: "same", 1: "crashed", 2: "same", 3: "crashed"}


def stand_still(kind: str, number: int) -> None:
    time.sleep(600)


def test_a_case_that_stands_still_is_a_finding(monkeypatch):
    monkeypatch.setattr(workers, "verdict_of", stand_still)
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    (verdict,) = verdicts([("tied", 0)])
    assert (verdict.kind, verdict.of, verdict.case) == ("hung", "tied", 0)


def test_an_error_of_the_fuzzer_is_a_finding():
    verdict = verdict_of("no such kind", 0)
    assert verdict.kind == "mistaken"
    assert "no such kind" in verdict.what
