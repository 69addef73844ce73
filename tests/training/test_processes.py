"""One process alone answers what a training asks of many; real ones are in test_distributed.py."""

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
from bntt.training.processes import Processes, _is_of_the_connection, _Sum
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
