"""Rounds are paired, processes are ended, and a variant that dies is named."""

from dataclasses import replace

import pytest

from benchmarks import timing
from benchmarks.cases import Case
from benchmarks.timing import compare
from tests.kernels import needs_kernels

CASE = Case("tiny", num_steps=2, batch=2, width=0.05)


def test_speed_is_the_median_of_the_ratios_within_rounds_after_the_first(monkeypatch):
    seconds = {"loop": [99.0, 2.0, 9.0, 4.0], "fused": [50.0, 1.0, 3.0, 4.0]}
    turns = {
        name: [{"seconds": each, "peak_over_base": 100 - i} for i, each in enumerate(row)]
        for name, row in seconds.items()
    }
    monkeypatch.setattr(timing, "take_turns", lambda title, workers, line, rounds: turns)
    monkeypatch.setattr(timing, "Worker", lambda *_: timing.ExitStack())
    loop, fused = compare(CASE, ["fused"], rounds=3, threads=1)["timings"]
    assert (loop["speed"], fused["speed"], fused["median"]) == (1.0, 2.0, 3.0)
    assert fused["seconds"] == [1.0, 3.0, 4.0]
    assert fused["peak_over_base"] == 100, "of the first round too"


@pytest.mark.slow
@needs_kernels
def test_a_real_comparison_in_processes_of_their_own():
    found = compare(replace(CASE, norm="tab"), ["fused", "snntorch"], rounds=2, threads=1)
    assert [row["variant"] for row in found["timings"]] == ["loop", "fused"]
    assert all(len(row["seconds"]) == 2 and min(row["seconds"]) > 0 for row in found["timings"])
    assert all(row["peak_over_base"] > 0 for row in found["timings"])
    assert found["firing_rate"].keys() >= {"conv1", "fc1"}


@pytest.mark.slow
def test_a_variant_that_dies_is_named(capfd):
    with pytest.raises(RuntimeError, match="tiny: magic: its process ended with code 1"):
        compare(CASE, ["magic"], rounds=1, threads=1)
    assert "magic" in capfd.readouterr().err, "its traceback"
