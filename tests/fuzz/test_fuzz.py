"""A minute of the fuzzer. A case that differs is looked at with
``python -m tests.fuzz --kinds ordinary --first NUMBER --cases 1``."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from bntt.engine.workspace import WORKSPACE
from bntt.nn import LIF
from tests.fuzz.conditions import choose, holding
from tests.fuzz.dice import Dice
from tests.fuzz.judge import differences, draw_case, judge, margins
from tests.fuzz.networks import draw_network
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


def test_a_case_is_its_number():
    one, two = draw_case(7), draw_case(7)
    assert str(one.drawn.net) == str(two.drawn.net)
    for p, q in zip(one.drawn.net.state_dict().values(), two.drawn.net.state_dict().values(), strict=True):
        assert torch.equal(p, q)


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
