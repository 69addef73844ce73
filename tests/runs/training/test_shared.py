"""What several processes measured is what one would have; what they cannot share is refused."""

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
from tests.processes import Processes as Threads
from tests.rows import each_row
from tests.runs import tiny
from tests.training.test_fit import build, data


def loader_of(kind, share):
    if kind == "part":
        return PartLoader(data(), torch.arange(2, 25), 5, share=share)
    return SampleLoader(data(23), 4, share=share)


class Sums(Processes):
    """One of some threads that meet in every sum."""

    def __init__(self, rank, count, reduce):
        super().__init__()
        self.rank, self.count, self.all_reduce_sum = (
            rank,
            count,
            lambda values: reduce(values.double()).to(values.dtype),
        )


@pytest.mark.parametrize("kind", ["part", "whole"])
@pytest.mark.parametrize("count", [2, 4])
def test_every_sample_is_counted_once(kind, count):
    """23 samples in batches that do not divide, some of which have none for the last process."""
    expected = evaluate(build(), loader_of(kind, (0, 1)), draws=2, seed=3)

    def measure(rank, reduce):
        loader, seen = loader_of(kind, (rank, count)), []
        own = evaluate(build(), loader, draws=2, seed=3, part=True, progress=seen.append)
        return combine_evaluations(own, len(loader), Sums(rank, count, reduce)), seen

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
    """The third of four, of which the first finds what is told."""

    count, rank = 4, 2

    def __init__(self, first=lambda found: found):
        super().__init__()
        self.first = first

    def on_rank0(self, work):
        return self.first(work())


@pytest.fixture(scope="module")
def small():
    recipe = tiny.recipe()
    return recipe, tiny.parts(recipe)


CONVERTED = {"network": {"norm": "none", "leak": 1.0}, "convert": {"ann": "runs/ann"}}


@each_row(
    ("tables", "named"),
    [
        ({"train": {"batch_size": 3}}, r"train\.batch_size"),
        ({"evaluate": {"batch_size": 3}}, r"evaluate\.batch_size: .* validation"),
        ({"evaluate": {"images": 2}}, r"evaluate\.batch_size: .* test"),
        (CONVERTED, r"convert\.ann"),
    ],
)
def test_what_cannot_be_shared_is_refused(tables, named, small):
    recipe, parts = small
    wrong = tiny.edited(recipe, **tables)
    check_shareable(wrong, parts, Processes(), resuming=False)
    check_shareable(recipe, parts, Four(), resuming=False)
    with pytest.raises(RecipeError, match=named):
        check_shareable(wrong, parts, Four(), resuming=False)


def test_a_conversion_goes_on_by_many_once_it_is_made(small):
    recipe, parts = small
    hybrid = tiny.edited(recipe, **CONVERTED)
    check_shareable(hybrid, parts, Four(), resuming=True)
    with pytest.raises(RecipeError, match=r"convert\.ann"):
        check_shareable(tiny.edited(hybrid, train={"epochs": 0}), parts, Four(), resuming=True)


def test_processes_with_other_data_or_other_kernels_are_refused(small):
    recipe, parts = small
    with pytest.raises(DataError, match="process 2"):
        check_shareable(recipe, parts, Four(lambda found: {**found, "train": 7}), resuming=False)
    kernels = Four(lambda found: not found if isinstance(found, bool) else found)
    with pytest.raises(BackendError, match="process 2"):
        check_shareable(recipe, parts, kernels, resuming=False)
    check_shareable(tiny.edited(recipe, compute={"backend": "reference"}), parts, kernels, resuming=False)
