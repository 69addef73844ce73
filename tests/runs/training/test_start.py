"""What was asked for becomes a recipe and a place, in one process for all; several measure what one would."""

import pickle
from dataclasses import replace
from functools import partial

import pytest
import torch

from bntt.analysis import evaluate
from bntt.data import PartLoader, SampleLoader
from bntt.engine.kernels import BackendError
from bntt.io.checkpoint import CheckpointError, write_checkpoint
from bntt.io.errors import DataError
from bntt.runs.directory import RunDirectory
from bntt.runs.evaluation import combine_activities, combine_evaluations
from bntt.runs.parts import Part
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe
from bntt.runs.training import start as starting
from bntt.runs.training.start import (
    TrainCommand,
    TrainingStart,
    check_shareable,
    resume_or_start,
    resume_or_start_in_all,
)
from bntt.training.processes import Processes
from tests.processes import Processes as Threads
from tests.rows import each_row
from tests.runs import tiny
from tests.training.test_fit import build
from tests.training.test_fit import data as images


class Later(Processes):
    """Not the first process, which finds this instead."""

    def __init__(self, first=lambda found: found, rank=2, count=4):
        super().__init__()
        self.rank, self.count, self.first = rank, count, first

    def on_rank0(self, work):
        return self.first(work())


def test_a_new_run_has_a_place_that_is_made_when_it_is_wanted(tmp_path):
    start = resume_or_start(TrainCommand("demo", ("train.epochs=3",), root=str(tmp_path)))
    assert (start.recipe.train.epochs, start.resumes) == (3, False)
    assert list(tmp_path.iterdir()) == []
    assert [start.open_directory().path.name for _ in range(2)] == ["demo", "demo-2"]


def test_begun_or_taken_up_by_the_same_words(tmp_path):
    command = TrainCommand("demo", name="mine", root=str(tmp_path), or_resume=True)
    assert resume_or_start(command).resumes is False
    run = RunDirectory(tmp_path / "mine")
    begun = dump_recipe(load_recipe("demo", ["compute.input_grad=direct", "compute.rectifiers=plain"]))
    write_checkpoint(run.path / "checkpoints" / "step-000000001.safetensors", {}, {"recipe": begun})
    start = resume_or_start(command)
    assert start.resumes is True
    assert start.open_directory() == run
    assert dump_recipe(start.recipe) == begun, "it rounds as it was begun"
    other = resume_or_start(replace(command, overrides=("compute.rectifiers=fused",))).recipe.compute
    assert (other.input_grad, other.rectifiers) == ("direct", "fused")


@each_row(
    ("command", "error", "named"),
    [
        (TrainCommand("demo", forget_best=True), RecipeError, "--forget-best"),
        (TrainCommand("demo", name="../x"), RecipeError, "--name"),
        (TrainCommand("demo", name="x", resume=True), RecipeError, "--name"),
        (TrainCommand("nowhere", resume=True), CheckpointError, "nowhere is not a run directory"),
        (TrainCommand("demoo"), RecipeError, "demoo"),
    ],
)
def test_what_cannot_be_is_refused(command, error, named):
    with pytest.raises(error, match=named):
        resume_or_start(command)


def test_others_are_told_and_read_nothing(tmp_path):
    recipe = load_recipe("demo", ("train.epochs=3",))
    assert resume_or_start_in_all(TrainCommand("demo", root=str(tmp_path)), Processes()).recipe == load_recipe("demo")
    command, told = TrainCommand("somewhere-else.toml"), TrainingStart(recipe, partial(RunDirectory, tmp_path), True)
    words = [starting._words(command), pickle.loads(pickle.dumps(told))]

    class Told(Later):
        def on_rank0(self, work):
            return words.pop(0)

    start = resume_or_start_in_all(command, Told())
    assert (start.recipe, start.open_directory(), start.resumes) == (recipe, RunDirectory(tmp_path), True)
    with pytest.raises(RecipeError, match="process 2"):
        resume_or_start_in_all(command, Later(lambda words: "recipe = 'demo'"))


def test_parts_of_your_own_may_lie_elsewhere_on_another_host(monkeypatch):
    said = []
    for source, version in (("/home/a/mine.py", "1"), ("/home/b/mine.py", "1"), ("/home/b/mine.py", "2")):
        monkeypatch.setattr(starting, "LOADED", [Part(source, version, ("network.norm=mine",))])
        said.append(starting._words(TrainCommand("demo")))
    assert said[0] == said[1] != said[2]


def loader_of(kind, share):
    if kind == "part":
        return PartLoader(images(), torch.arange(2, 25), 5, share=share)
    return SampleLoader(images(23), 4, share=share)


@pytest.mark.parametrize(("kind", "count"), [("part", 2), ("part", 4), ("whole", 2), ("whole", 4)])
def test_every_sample_is_counted_once(kind, count):
    """23 samples in batches that do not divide, some of which have none for the last process."""
    expected = evaluate(build(), loader_of(kind, (0, 1)), draws=2, seed=3)

    def measure(rank, reduce):
        loader, seen, processes = loader_of(kind, (rank, count)), [], Later(rank=rank, count=count)
        processes.all_reduce_sum = lambda values: reduce(values.double()).to(values.dtype)
        own = evaluate(build(), loader, draws=2, seed=3, part=True, progress=seen.append)
        return combine_evaluations(own, len(loader), processes), seen

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


CONVERTED = {"network": {"norm": "none", "leak": 1.0}, "convert": {"ann": "runs/ann"}}


@each_row(
    ("tables", "resuming", "named"),
    [
        ({"train": {"batch_size": 3}}, False, r"train\.batch_size"),
        ({"evaluate": {"batch_size": 3}}, False, r"evaluate\.batch_size: .* validation"),
        ({"evaluate": {"images": 2}}, False, r"evaluate\.batch_size: .* test"),
        (CONVERTED, False, r"convert\.ann"),
        ({**CONVERTED, "train": {"epochs": 0}}, True, r"convert\.ann"),
    ],
)
def test_what_cannot_be_shared_is_refused(tables, resuming, named, run):
    recipe, data, *_ = run
    wrong = tiny.edited(recipe, **tables)
    check_shareable(wrong, data, Processes(), resuming=resuming)
    check_shareable(recipe, data, Later(), resuming=resuming)
    check_shareable(tiny.edited(recipe, **CONVERTED), data, Later(), resuming=True)  # once it is made
    with pytest.raises(RecipeError, match=named):
        check_shareable(wrong, data, Later(), resuming=resuming)


def test_processes_with_other_data_or_other_kernels_are_refused(run):
    recipe, data, *_ = run
    kernels = Later(lambda found: not found if isinstance(found, bool) else found)
    for error, processes in ((DataError, Later(lambda found: {**found, "train": 7})), (BackendError, kernels)):
        with pytest.raises(error, match="process 2"):
            check_shareable(recipe, data, processes, resuming=False)
    check_shareable(tiny.edited(recipe, compute={"backend": "reference"}), data, kernels, resuming=False)
