"""What was asked for becomes a recipe and a place, in one process for all."""

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.runs.directory import RunDirectory
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe
from bntt.runs.training.start import Asked, begin, begin_together
from bntt.training.processes import Processes
from tests.rows import each_row


class Second(Processes):
    """The second of two, whom the first one tells these one after another."""

    rank, count = 1, 2

    def __init__(self, *told):
        super().__init__()
        self.told = list(told)

    def decided(self, work):
        return self.told.pop(0)


def test_a_new_run_has_a_place_that_is_made_when_it_is_wanted(tmp_path):
    begun = begin(Asked("demo", ("train.epochs=3",), root=str(tmp_path)))
    assert (begun.recipe.train.epochs, begun.goes_on) == (3, False)
    assert list(tmp_path.iterdir()) == []
    assert [begun.place().path.name for _ in range(2)] == ["demo", "demo-2"]


def test_begun_or_taken_up_by_the_same_words(tmp_path):
    asked = Asked("demo", name="mine", root=str(tmp_path), or_resume=True)
    assert begin(asked).goes_on is False
    (tmp_path / "mine" / "checkpoints" / "step-000000001.safetensors").touch()
    assert begin(asked).goes_on is True
    assert begin(asked).place() == RunDirectory(tmp_path / "mine")


@each_row(
    ("asked", "error", "text"),
    [
        (Asked("demo", forget_best=True), RecipeError, "--forget-best is for --resume"),
        (Asked("demo", name="../x"), RecipeError, "a run's name is one folder name"),
        (Asked("nowhere", resume=True), CheckpointError, "is not a run directory"),
        (Asked("demoo"), RecipeError, "demo"),
    ],
)
def test_what_cannot_be_is_refused(asked, error, text):
    with pytest.raises(error, match=text):
        begin(asked)


def test_others_are_told_and_read_nothing(monkeypatch):
    recipe = load_recipe("demo", ("train.epochs=3",))
    asked = Asked("somewhere-else.toml", ("train.epochs=3",))
    words = "recipe = 'somewhere-else.toml', overrides = ('train.epochs=3',), root = 'runs'"
    begun = begin_together(asked, Second(words, [dump_recipe(recipe), "again"]))
    assert (begun.recipe, begun.goes_on) == (recipe, True)
    with pytest.raises(RecipeError, match=r"process 1 was started with .*epochs=3.*, process 0 with recipe = 'demo'"):
        begin_together(asked, Second("recipe = 'demo', root = 'runs'"))


def test_one_alone_asks_nobody(tmp_path):
    assert begin_together(Asked("demo", root=str(tmp_path)), Processes()).recipe == load_recipe("demo")
