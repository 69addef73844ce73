"""Some cases of every kind at the borders, in a process of their own. One that is found is looked at with
``python -m tests.fuzz --kinds KIND --first NUMBER --cases 1``."""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice

import pytest
import torch
from torch import nn

from tests.fuzz import workers
from tests.fuzz.__main__ import names
from tests.fuzz.borders.kinds import KINDS, draw_border
from tests.fuzz.borders.tensors import Doubled, laid, negated, packed
from tests.fuzz.dice import Dice
from tests.fuzz.judge import Verdict, run
from tests.fuzz.uses import Job
from tests.fuzz.workers import FOUND, verdicts
from tests.kernels import needs_kernels

pytestmark = needs_kernels


@pytest.mark.parametrize(("first", "cases"), [(0, 4), pytest.param(4, 8, marks=pytest.mark.slow)])
def test_the_kernels_are_plain_pytorch_at_the_borders(first, cases):
    """So many of every kind."""
    judged = list(verdicts(islice(names(tuple(KINDS), first), cases * len(KINDS))))
    expected = {(kind, number) for kind in KINDS for number in range(first, first + cases)}
    assert {(verdict.of, verdict.case) for verdict in judged} == expected
    assert not [f"{v.kind}, {v.of} case {v.case}: {v.what}" for v in judged if v.kind in FOUND]
    answered = Counter(v.of for v in judged if v.kind not in ("raised", "refused"))
    assert answered.total() > len(judged) / 2, "cases that only raise compare nothing"
    assert answered.keys() == KINDS.keys(), "and every kind has some that answer"


@pytest.mark.parametrize("kind", ["default-dtype", "default-device", "threads", "dispatch-mode", "patched"])
def test_a_kind_leaves_pytorch_as_it_was(kind):
    def defaults() -> object:
        forwards = nn.Linear.forward, nn.Conv2d.forward, nn.Conv2d._conv_forward, nn.Flatten.forward
        modes = torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()
        return torch.get_default_dtype(), torch.get_default_device(), forwards, modes, torch.is_grad_enabled()

    before = defaults()
    for number in range(4):
        case = draw_border(kind, number)
        around = case.around(
            Job(case.drawn.net, case.drawn, Dice(number, "inputs"), False, ours=True), Dice(number, kind)
        )
        with pytest.raises(KeyError), around:
            raise KeyError
        assert defaults() == before


def test_a_case_at_the_borders_is_its_number():
    one, two = run(draw_border("bias", 3), fused=False), run(draw_border("bias", 3), fused=False)
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items() if isinstance(value, torch.Tensor))


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


def test_a_process_that_ends_is_a_finding_and_another_goes_on(monkeypatch):
    monkeypatch.setattr(workers, "_work", _work_and_end)
    ends = {v.case: v.kind for v in verdicts([("tied", number) for number in range(4)], jobs=2)}
    assert ends == {0: "same", 1: "crashed", 2: "same", 3: "crashed"}


def _work_and_end(pipe) -> None:
    while True:
        try:
            kind, number = pipe.recv()
        except EOFError:
            return
        if number % 2:
            os._exit(3)
        pipe.send(Verdict(number, "same", True, "", kind))


def test_a_case_that_stands_still_is_a_finding(monkeypatch):
    monkeypatch.setattr(workers, "_work", _stand_still)
    monkeypatch.setattr(workers, "PATIENCE", 0.1)
    (verdict,) = verdicts([("tied", 0)])
    assert (verdict.kind, verdict.of, verdict.case) == ("hung", "tied", 0)


def _stand_still(pipe) -> None:
    pipe.recv()
    pipe.recv()


def test_an_error_of_the_fuzzer_is_a_finding():
    verdict = workers.judge_named(("no such kind", 0))
    assert verdict.kind == "mistaken"
    assert "no such kind" in verdict.what
