"""Many processes train one network: what one alone answers, and what real ones find."""

import pickle
from copy import deepcopy

import pytest
import torch

from bntt import fit
from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.engine.compute import Compute
from bntt.io.checkpoint import CheckpointError
from bntt.models import mlp
from bntt.nn import DirectEncoder
from bntt.training import Session, balance, convert, recalibrate, updates
from bntt.training.processes import NEEDED, LaunchError, Processes, _is_of_the_connection, _Sum, joined_processes
from tests.rows import each_row
from tests.training import shared_work
from tests.training.launched import ended, started
from tests.training.test_fit import build, data


class OneOfTwo(Processes):
    """Whose other process has the same numbers, and ``more``."""

    count, more = 2, 0.0

    def all_reduce_sum(self, values):
        return 2 * values + self.more


class Unheard(Processes):
    """One of two that hears nothing of the other."""

    count = 2


def test_numbers_are_those_of_all():
    loader = SampleLoader(data(), 10, shuffle=True, share=(0, 2))
    record, alone = (next(updates(build(), loader, epochs=1, processes=one)) for one in (OneOfTwo(), Unheard()))
    assert (record.samples, record.correct) == (2 * alone.samples, 2 * alone.correct)
    assert record.loss == pytest.approx(alone.loss)
    without = OneOfTwo()
    without.more = torch.tensor([5.0, 1.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="no sample for 1 of 2 processes"):
        next(updates(build(), loader, epochs=1, processes=without))


def test_copies_of_a_network_share_its_processes_and_a_pickled_one_is_alone():
    model = build()
    model.network.compute = Compute(reduce=_Sum({}))
    assert deepcopy(model).network.compute.reduce is model.network.compute.reduce
    assert pickle.loads(pickle.dumps(model)).network.compute.reduce is None


def test_each_process_needs_a_loader_of_its_part(tmp_path):
    half, whole, other = (SampleLoader(data(), 10, share=share) for share in ((0, 2), (0, 1), (1, 2)))
    for loader in (whole, other):
        with pytest.raises(ValueError, match=r"process 0 of 2 .*share"):
            Session(build(), loader, epochs=1, processes=OneOfTwo())
    ann = convert(mlp(in_features=16, num_steps=1, norm="none", neuron="relu"))

    def fitted(train, held_out, test):
        fit(build(), train, epochs=1, validation=held_out, test=test, directory=tmp_path / "run")

    for refused in (
        lambda: fitted(half, whole, None),
        lambda: fitted(whole, half, None),
        lambda: fitted(whole, whole, half),
        lambda: recalibrate(build(), half),
        lambda: balance(ann, DirectEncoder(4), half),
        lambda: evaluate(build(), half),
    ):
        with pytest.raises(ValueError, match=r"share.* \(0, 2\)"):
            refused()
    assert not list(tmp_path.iterdir())
    assert evaluate(build(), half, draws=1, part=True).accuracy.samples == 15
    model = build()
    model.network.compute = Compute(reduce=lambda sums: 2 * sums)
    assert recalibrate(model, half) == 15


def test_an_error_that_names_an_igloo_is_not_of_the_connection():
    assert _is_of_the_connection(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
    assert _is_of_the_connection(torch.distributed.DistError("timed out"))
    assert not _is_of_the_connection(CheckpointError("runs/igloo is not a run directory"))


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
