"""Studies from file to result, with a stand-in for the processes."""

import json

import pytest

from bntt.runs.recipe.schema import RecipeError
from bntt.studies.make_runs import work
from bntt.studies.plan import Folders, plan
from bntt.studies.study_file import parse_study
from bntt.studies.study_result import results_of, write_results
from tests.rows import each_row
from tests.studies.fake_bntt import fake_start
from tests.studies.kept import Inline, fake_pool, keep, of_runs, small, study


@pytest.fixture
def places(tmp_path):
    return Folders(tmp_path / "pool", (), tmp_path / "out")


def done(places, *studies):
    fake_pool(places.pool.parent)
    planned = plan([parse_study(one, f"s{n}") for n, one in enumerate(studies)], "small", places)
    outcomes = list(work(planned.items, places.pool, fake_start, Inline()))
    return planned, results_of(planned, places, outcomes)


def test_a_result_has_every_start(places):
    _, (result,) = done(places, study())
    assert {found.state for found in result.found.values()} == {"done"}
    (path,) = write_results([result], places.out)
    values = json.loads(path.read_text())
    assert path == places.out / "s0-small" / "result.json"
    assert values["table"]["rows"][0]["cells"]["acc"]["mean"] == 50.0
    assert (path.parent / values["figures"][0]["file"]).is_file()
    assert values["runs"][0]["starts"][0]["measures"].keys() == {"evaluate", "activity"}


@each_row(
    ("studies", "said"),
    [
        ([of_runs(*({"name": n, "set": [f"init.run={n}/source"]} for n in "ab"))], "init.run: .*a/source.*b/source"),
        ([study(), study(claims=None)], "s0"),
    ],
)
def test_names_that_would_stand_for_two_are_refused(places, studies, said):
    with pytest.raises(RecipeError, match=said):
        plan([parse_study(one, "s0") for one in studies], "small", places)


def test_a_failed_start_is_told_and_the_others_stand(places):
    runs = [{"name": "tab", "set": ["network.norm=tab"]}, {"name": "bntt"}]
    _, (result,) = done(places, of_runs(*runs))
    states = {key: found.state for key, found in result.found.items()}
    assert states == {("tab", 0): "failed", ("tab", 1): "failed", ("bntt", 0): "done", ("bntt", 1): "done"}
    assert result.found["tab", 0].why == "numbers are not finite"


def test_each_study_takes_the_run_of_a_start_that_has_its_measures(places, tmp_path):
    """As `energy` and `table-1`, which ask other things of one ANN: kept twice, measured once each."""
    here = Folders(places.pool, (tmp_path / "kept",), places.out)
    for name, kind in (("a", "activity"), ("b", "energy")):
        run = keep(tmp_path / "kept" / name, small())
        (run / f"{kind}.json").write_text(json.dumps({"split": "test", "arguments": {}}))
    asking = [
        parse_study(of_runs({"name": "bntt", "measures": kinds}), f"s{len(kinds)}{kind}")
        for kind, kinds in (("activity", ["activity"]), ("energy", ["energy"]), ("none", []))
    ]
    found = results_of(plan(asking, "small", here), here, [])
    assert [result.found["bntt", 0].kept.path.name for result in found] == ["a", "b", "a"]


def test_the_first_start_of_every_run_comes_before_the_second_of_any(places):
    ann = {
        "name": "ann",
        "set": ["network.neuron=relu", "network.norm=none", "encoder.name=expected", "network.num_steps=1"],
    }
    late = {"name": "late", "small": {"seeds": [1]}, "set": ["network.norm=bn"]}
    planned = plan([parse_study(of_runs(late, {"name": "bntt"}, ann), "s")], "small", places)
    assert [(item.start.run, item.start.seed) for item in planned.items] == [
        ("late", 1), ("bntt", 1), ("ann", 1), ("bntt", 0), ("ann", 0),
    ]  # fmt: skip


def test_what_cannot_be_made_is_not_run(places, monkeypatch, tmp_path):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "none"))
    runs = [{"name": "a", "small": {"recipe": "cifar10-small", "seeds": [0]}}]
    _, (result,) = done(places, of_runs(*runs))
    assert (result.found["a", 0].state, result.found["a", 0].kept) == ("not run", None)
    assert "cifar10 is not here" in result.found["a", 0].why


def test_what_was_kept_elsewhere_is_read_and_not_written(tmp_path):
    results = tmp_path / "results"
    keep(results / "a", small("network.norm=none"))
    places = Folders(tmp_path / "pool", (results,), tmp_path / "out")
    before = sorted(results.rglob("*"))
    planned, (result,) = done(places, study())
    assert result.found["none", 0].kept.path == results / "a"
    assert sorted(results.rglob("*")) == before
    with pytest.raises(RecipeError, match="is not a folder"):
        plan([], "small", Folders(tmp_path, (tmp_path / "nowhere",)))
    assert len(planned.items) == 4
