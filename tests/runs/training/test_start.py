"""What was asked for becomes a recipe and a place, in one process for all."""

import pickle
from dataclasses import replace
from functools import partial

import pytest

from bntt.io.checkpoint import CheckpointError, write_checkpoint
from bntt.runs.directory import RunDirectory
from bntt.runs.parts import Part
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe
from bntt.runs.training import start as starting
from bntt.runs.training.start import TrainCommand, TrainingStart, resume_or_start, resume_or_start_in_all
from bntt.training.processes import Processes
from tests.rows import each_row


class Second(Processes):
    """The second of two, whom the first one tells these one after another."""

    rank, count = 1, 2

    def __init__(self, *told):
        super().__init__()
        self.told = list(told)

    def on_rank0(self, work):
        return self.told.pop(0)


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
    command = TrainCommand("somewhere-else.toml", ("train.epochs=3",))
    begun = TrainingStart(recipe, partial(RunDirectory, tmp_path), resumes=True)
    start = resume_or_start_in_all(command, Second(starting._words(command), pickle.loads(pickle.dumps(begun))))
    assert (start.recipe, start.open_directory(), start.resumes) == (recipe, RunDirectory(tmp_path), True)
    with pytest.raises(RecipeError, match="process 1"):
        resume_or_start_in_all(command, Second("recipe = 'demo', root = 'runs'"))


def test_parts_of_your_own_may_lie_elsewhere_on_another_host(monkeypatch):
    said = []
    for source, version in (("/home/a/mine.py", "1"), ("/home/b/mine.py", "1"), ("/home/b/mine.py", "2")):
        monkeypatch.setattr(starting, "LOADED", [Part(source, version, ("network.norm=mine",))])
        said.append(starting._words(TrainCommand("demo")))
    assert said[0] == said[1] != said[2]
