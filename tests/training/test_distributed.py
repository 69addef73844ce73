"""Real processes that share every batch train one network: the one that a process alone would have trained."""

import pytest
import torch

from bntt.training.processes import NEEDED, LaunchError, Processes, joined_processes
from tests.rows import each_row
from tests.training import shared_work
from tests.training.launched import ended, started


def found_by(count, which, folder):
    done = ended(started(count, "tests.training.shared_work", str(folder / "found"), which))
    assert [(code, err) for code, _, err in done] == [(0, "")] * count
    return [torch.load(folder / f"found.{rank}", weights_only=True) for rank in range(count)]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return found_by(2, "some", tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def alone():
    torch.set_num_threads(1)
    return shared_work.some(Processes())


def assert_same(alone, many):
    """Weights, statistics, moments and averages to 1e-10, bit for bit the same in all processes, and what was told."""
    for name, value in alone["state"].items():
        assert all(torch.equal(one["state"][name], many[0]["state"][name]) for one in many), name
        assert float((many[0]["state"][name] - value).abs().max()) <= 1e-10, name
    for key in ("numbers", "epochs"):
        for one in many:
            assert len(one[key]) == len(alone[key]) > 0
            for ours, theirs in zip(one[key], alone[key], strict=True):
                assert ours == pytest.approx(theirs, abs=1e-10)


@each_row("norm", ["bntt", "tebn"])
def test_two_processes_train_the_network_of_one(norm, alone, two):
    assert_same(alone[f"norm {norm}"], [one[f"norm {norm}"] for one in two])
    for name, value in alone["recalibrated"].items():
        assert all(float((one["recalibrated"][name] - value).abs().max()) <= 1e-10 for one in two)


def test_all_stop_where_one_has_a_number_that_is_not_finite(two):
    for place, (first, last) in zip(shared_work.FAULTS, zip(*(one["faults"] for one in two), strict=True), strict=True):
        assert place in last
        assert first not in ("", "changed")


def test_what_they_tell_each_other(two):
    told = {
        "joined": [0, 0, 1],
        "largest": [1, 0],
        "given": [[1.0, 1.0], 0],
        "given tied": [[1.0], [1.0]],
        "decided": ["of", 0],
        "left": [False, 1.0],  # after a signal: open connections once ended with SIGABRT a process that had saved all
    }
    for one in two:
        assert {key: one[key] for key in told} == told
    assert [one["refused"] for one in two] == ["no", "process 0 has stopped: no"]


@pytest.mark.slow
def test_many_train_the_network_of_one_under_every_norm_and_in_every_way(tmp_path):
    """Parts differ in size, and the fourth of four has a single sample of every other batch."""
    torch.set_num_threads(1)
    alone, many = shared_work.all_ways(Processes()), found_by(4, "all", tmp_path)
    for name, value in alone.items():
        assert_same(value, [one[name] for one in many])


@each_row("value", [None, "", "1"])
def test_alone_it_is_one(value, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    if value is not None:
        monkeypatch.setenv("WORLD_SIZE", value)
    with joined_processes("cpu") as processes:
        assert (processes.rank, processes.count, processes.device, processes.reduce) == (0, 1, "cpu", None)


@each_row("device, given, named", [("cpu", (), ", ".join(NEEDED)), ("cuda:1", NEEDED, "cuda:1")])
def test_processes_that_torchrun_did_not_start_are_refused(device, given, named, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    for name in given:
        monkeypatch.setenv(name, "1")
    with pytest.raises(LaunchError, match=named), joined_processes(device):
        pass
