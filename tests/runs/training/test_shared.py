"""What several processes measured is what one would have; what they cannot share is refused."""

import dataclasses
import threading

import pytest
import torch

from bntt.analysis import evaluate
from bntt.data import PartLoader, SampleLoader
from bntt.engine.kernels import BackendError
from bntt.io.errors import DataError
from bntt.runs.evaluation import combine_activities, combine_evaluations
from bntt.runs.recipe.file import RecipeError
from bntt.runs.training.start import check_shareable
from bntt.training.processes import Processes
from tests.rows import each_row
from tests.runs import tiny
from tests.training.test_fit import build, data


class Threads:
    """Processes as threads that meet in every sum."""

    def __init__(self, count):
        self.barrier, self.brought, self.count = threading.Barrier(count, timeout=60), [None] * count, count

    def run(self, work):
        found = [None] * self.count

        def one(rank):
            found[rank] = work(self.of(rank))

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(self.count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def of(self, rank):
        threads = self

        class One(Processes):
            count = threads.count

            def all_reduce_sum(self, values):
                threads.brought[rank] = values.clone()
                threads.barrier.wait()
                whole = sum(threads.brought)
                threads.barrier.wait()
                return whole

        made = One()
        made.rank = rank
        return made


def loader_of(kind, share):
    if kind == "part":
        return PartLoader(data(), torch.arange(2, 25), 5, share=share)
    return SampleLoader(data(23), 4, share=share)


@pytest.mark.parametrize("kind", ["part", "whole"])
@pytest.mark.parametrize("count", [2, 4])
def test_every_sample_is_counted_once(kind, count):
    """23 samples in batches that do not divide, some of which have none for the last process."""
    expected = evaluate(build(), loader_of(kind, (0, 1)), draws=2, seed=3)

    def measure(one):
        loader, seen = loader_of(kind, (one.rank, one.count)), []
        own = evaluate(build(), loader, draws=2, seed=3, part=True, progress=seen.append)
        return combine_evaluations(own, len(loader), one), seen

    for found, seen in Threads(count).run(measure):
        assert found.accuracy == expected.accuracy
        assert found.accuracy.samples == 23
        assert torch.equal(found.right, expected.right)
        assert found.activity.presentations == expected.activity.presentations
        assert all(torch.equal(found.activity.spikes[name], s) for name, s in expected.activity.spikes.items())
        assert len(seen) == 2 * len(loader_of(kind, (0, 1))), "so that all look at their wishes as often"


def test_one_alone_has_the_whole():
    own = evaluate(build(), loader_of("whole", (0, 1)), draws=1)
    assert combine_evaluations(own, 8, Processes()) is own
    assert combine_activities(own.activity, Processes()) is own.activity


class Four(Processes):
    count = 4

    def on_rank0(self, work):
        return work()


class Elsewhere(Four):
    rank = 2

    def on_rank0(self, work):
        return {**work(), "train": 7}


@pytest.fixture(scope="module")
def small():
    recipe = tiny.recipe()
    return recipe, tiny.parts(recipe)


def test_what_can_be_shared_is(small):
    recipe, parts = small
    check_shareable(recipe, parts, Four(), resuming=False)
    check_shareable(tiny.edited(recipe, train={"batch_size": 1}), parts, Processes(), resuming=False)


CONVERTED = {"network": {"norm": "none"}, "convert": {"ann": "runs/ann"}}


@each_row(
    ("tables", "text"),
    [
        ({"train": {"batch_size": 3}}, r"batches of 3 out of 60 training samples, fewer than there are processes, 4"),
        (
            {"evaluate": {"batch_size": 3}},
            r"evaluate.batch_size: 3 makes batches of 3 out of 50 validation samples",
        ),
        ({"evaluate": {"images": 2}}, r"evaluate.batch_size: .* makes batches of 2 out of 2 test samples"),
        (CONVERTED, r"convert.ann: one process .*, not 4: begin with one"),
    ],
)
def test_what_cannot_is_refused(tables, text, small):
    recipe, parts = small
    with pytest.raises(RecipeError, match=text):
        check_shareable(tiny.edited(recipe, **tables), parts, Four(), resuming=False)


def test_a_conversion_goes_on_by_many_once_it_is_made(small):
    recipe, parts = small
    hybrid = tiny.edited(recipe, **CONVERTED)
    check_shareable(hybrid, parts, Four(), resuming=True)
    with pytest.raises(RecipeError, match=r"convert\.ann"):
        check_shareable(tiny.edited(hybrid, train={"epochs": 0}, network={"leak": 1.0}), parts, Four(), resuming=True)


def test_other_data_are_refused(small):
    recipe, parts = small
    with pytest.raises(DataError, match=r"process 2 found other data than process 0: .* in place of"):
        check_shareable(recipe, dataclasses.replace(parts), Elsewhere(), resuming=False)


class OtherKernels(Four):
    rank = 2

    def on_rank0(self, work):
        return not found if isinstance(found := work(), bool) else found


def test_a_process_without_the_kernels_of_the_first_is_refused(small):
    recipe, parts = small
    with pytest.raises(BackendError, match=r"process 2 (has|lacks) the compiled kernels, unlike process 0"):
        check_shareable(recipe, parts, OtherKernels(), resuming=False)
    check_shareable(tiny.edited(recipe, compute={"backend": "reference"}), parts, OtherKernels(), resuming=False)
