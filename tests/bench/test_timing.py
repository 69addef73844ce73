"""Rounds are paired, processes are ended, and a variant that dies says why."""

import json
import math
from dataclasses import replace

import pytest

from bntt.bench.cases import Case
from bntt.bench.parity import Parity
from bntt.bench.timing import Comparison, Timing, compare, report
from bntt.training.processes import LostProcessError
from tests.kernels import needs_kernels

CASE = Case("tiny", num_steps=2, batch=2, width=0.05)


def test_speed_is_the_median_of_the_ratios_within_rounds():
    timings = [Timing("loop", [2.0, 9.0, 4.0], 100), Timing("fused", [1.0, 3.0, 4.0], 50)]
    found = Comparison(CASE, {"conv1": 0.2}, timings)
    assert found.speed("fused") == 2.0
    assert found.speed("loop") == 1.0
    assert math.isnan(found.speed("snntorch"))
    written = json.loads(json.dumps(report([found], [Parity("fused", 0.0, 1e-6)], 2)))
    assert written["cases"][0]["timings"][1]["speed"] == 2.0
    assert written["cases"][0]["timings"][1]["median"] == 3.0
    assert written["parity"][0]["variant"] == "fused"
    assert "torch" in written["versions"]


@pytest.mark.slow
@needs_kernels
def test_a_real_comparison_in_processes_of_their_own():
    said: list[str] = []
    found = compare(replace(CASE, norm="tab"), ["loop", "fused", "snntorch"], rounds=2, threads=1, progress=said.append)
    assert [t.variant for t in found.timings] == ["loop", "fused"]
    assert all(len(t.seconds) == 2 and min(t.seconds) > 0 for t in found.timings)
    assert all(t.peak_over_base > 0 for t in found.timings)
    assert said == [f"tiny: round {n} of 2" for n in range(3)]


@pytest.mark.slow
def test_a_variant_that_dies_says_why():
    with pytest.raises(LostProcessError, match=r"tiny: no such rival: its process ended with exit code 1: KeyError"):
        compare(CASE, ["no such rival"], rounds=1, threads=1)
