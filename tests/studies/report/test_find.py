"""What a report is of."""

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.file import RecipeError
from bntt.studies.report.find import chosen, is_run, is_study, within
from tests.studies.report.results import write_run, write_study


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "b")
    write_run(tmp_path / "runs" / "pool" / "a")
    write_run(tmp_path / "runs" / ".hidden")
    write_run(tmp_path / "runs" / "b" / "checkpoints" / "inner")
    write_study(tmp_path / "runs" / "studies" / "table-1")
    return tmp_path


def names(found):
    return [path.name for path in found]


def test_of_nothing_named_it_is_all_there_is(home):
    assert names(chosen([])) == ["table-1", "b", "a"]
    assert names(within(home / "runs")) == ["b", "a", "table-1"]


def test_a_folder_stands_for_what_it_holds_and_studies_come_first(home):
    assert names(chosen([home / "runs"])) == ["table-1", "b", "a"]


def test_names_keep_their_order_and_count_once(home):
    runs = home / "runs"
    asked = [runs / "b", runs / "studies" / "table-1" / "result.json", runs / "pool", runs / "b" / "."]
    assert names(chosen(asked)) == ["b", "table-1", "a"]
    assert is_study(runs / "studies" / "table-1")
    assert is_run(runs / "b")
    assert not is_run(runs)


def test_links_are_not_followed(home):
    (home / "runs" / "pool" / "loop").symlink_to(home / "runs")
    assert names(within(home / "runs")) == ["b", "a", "table-1"]


def test_what_is_neither_is_an_error(home):
    (home / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"holds neither recipe\.toml nor result\.json"):
        chosen([home / "empty"])
    with pytest.raises(CheckpointError, match="is no directory"):
        chosen([home / "none"])


def test_nothing_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=f"{tmp_path}/runs and {tmp_path}/studies"):
        chosen([])
