"""Studies as they are read: every one that comes with bntt, and what is wrong with a bad one."""

import pytest

from bntt.runs.recipe.file import unknown_name
from bntt.runs.recipe.schema import RecipeError
from bntt.studies.study_file import SETTINGS, AtSetting, RunSpec, Setting, load_study, parse_study, study_names
from tests.rows import each_row
from tests.studies.kept import study

PAPER = [
    *(f"table-{n}" for n in range(1, 6)),
    *(f"figure-{n}" for n in range(1, 9)),
    "energy",
    "stability",
    "section-3.3",
]


@each_row("name", study_names())
def test_every_study_loads_at_both_settings(name):
    found = load_study(name)
    assert found.settings.keys() == {"paper", "small"}
    assert found.claims or name == "figure-2"
    assert len(found.table) > 0


def test_every_table_and_figure_of_the_paper_is_a_study():
    assert set(PAPER) <= set(study_names())


def bad(**changed):
    with pytest.raises(RecipeError) as caught:
        parse_study(study(**changed), "s")
    return str(caught.value)


def run(**more):
    return [{"name": "bntt", **more}]


@each_row(
    ("changed", "said"),
    [
        ({"titel": "x"}, "titel: unknown key; did you mean 'title'?"),
        ({"title": None}, "title: Field required"),
        ({"settings": None}, "settings: Field required"),
        ({"settings": {}}, "settings: Dictionary should have at least 1 item"),
        ({"settings": {"smal": {}}}, "settings.smal.[key]: must be 'paper' or 'small', got 'smal'"),
        ({"settings": {"small": {"sed": [1]}}}, "settings.small.sed: unknown key; did you mean 'seeds'?"),
        ({"settings": []}, "settings: must be a valid dictionary, got []"),
        ({"settings": {"small": {"seeds": "0"}}}, "settings.small.seeds: must be a valid list, got '0'"),
        ({"settings": {"small": {"seeds": [0.5]}}}, "settings.small.seeds.0: must be a valid integer, got 0.5"),
        ({"folder": "/"}, "folder: unknown key"),
        ({"runs": None}, "runs: Field required"),
        ({"runs": []}, "runs: List should have at least 1 item"),
        ({"runs": {}}, "runs: must be a valid list"),
        ({"runs": ["bntt"]}, "runs 1: must be a valid dictionary, got 'bntt'"),
        ({"runs": [{}]}, "runs 1.name: Field required"),
        ({"runs": [{"name": "two words"}]}, "runs two words.name: String should match pattern"),
        ({"runs": run(norm="bn")}, "runs bntt.norm: unknown key"),
        ({"runs": run(small={"recipee": ""})}, "runs bntt.small.recipee: unknown key; did you mean 'recipe'?"),
        ({"runs": run(measures=["activty"])}, "runs bntt.measures: unknown name 'activty'; did you mean 'activity'?"),
        ({"runs": run(measures=["retiming"])}, "runs bntt.measures: unknown name 'retiming'"),
        ({"runs": run() * 2}, "runs: two are called 'bntt'"),
        (
            {"runs": run() + run(name="b", label="bntt")},
            "runs: at the setting small, where pictures go by labels, two have the label 'bntt'",
        ),
        ({"runs": run(begins_with="ann")}, "runs bntt.begins_with, a run before it: unknown name 'ann'"),
        ({"runs": run(trained=False, measures=["exit"])}, "runs bntt.measures: exit needs a trained run"),
        ({"runs": run(only=["paper"], small={"set": ["seed=1"]})}, "runs bntt.small: is not made at this setting"),
        ({"settings": {"small": {}}}, "runs bntt.small.recipe: is missing, and settings.small has none"),
        ({"measures": {"x": {"kind": "robus"}}}, "measures.x.kind: unknown name 'robus'; did you mean 'robust'?"),
        ({"measures": {"evaluate": {"kind": "exit"}}}, "measures.evaluate: every training ends with it"),
        ({"measures": {"x": "robust"}}, "measures.x.kind: unknown name"),
        (
            {"measures": {"x": {"kind": "robust", "image": 1}}},
            "measures.x: there is no --image: did you mean --images?",
        ),
        ({"measures_of_all": ["x"]}, "runs bntt.measures: unknown name 'x'"),
        (
            {"table": [{"key": "a", "metric": "acuracy"}]},
            "table a.metric: unknown name 'acuracy'; did you mean 'accuracy'?",
        ),
        ({"table": [{"key": "a", "metric": "accuracy"}] * 2}, "table: two columns have the key 'a'"),
        ({"table": [{"key": "a", "metric": "noisy-accuracy", "at": 0.4}]}, "table a: no run has the measure robust"),
        ({"table": [{"key": "a", "metric": "accuracy-after"}]}, "table a.at: is missing"),
        ({"table": [{"key": "a", "metric": "accuracy", "at": 2.0}]}, "table a.at: accuracy is read at no place"),
        (
            {"table": [{"key": "a", "metric": "exit-steps", "measure": "activity"}]},
            "table a.measure: exit-steps is read from",
        ),
        ({"table": [{"key": "a", "metric": "exit-steps", "measure": "x"}]}, "table a.measure: unknown name 'x'"),
        ({"figures": [{"kind": "bar"}]}, "figures 1.kind: unknown name 'bar'; did you mean 'bars'?"),
        (
            {"figures": [{"kind": "bars", "title": "t", "alt": "a", "column": "ac"}]},
            "figures 1: column: unknown name 'ac'; did you mean 'acc'?",
        ),
        (
            {"figures": [{"kind": "noise", "title": "t", "alt": "a", "measure": "nois"}]},
            "figures 1.measure: unknown name 'nois'",
        ),
        (
            {"figures": [{"kind": "noise", "title": "t", "alt": "a", "measure": "activity"}]},
            "figures 1.measure: pictures of kind noise are drawn from robust, activity is of activity",
        ),
        (
            {"figures": [{"kind": "noise", "title": "t", "alt": "a"}]},
            "figures 1: no run has the measure robust",
        ),
        (
            {"figures": [{"kind": "bars", "title": "t", "alt": "a", "column": "acc", "measure": "activity"}]},
            "figures 1.measure: pictures of kind bars are drawn from no measure",
        ),
        ({"figures": [{"title": "t", "alt": "a"}]}, "figures 1: Unable to extract tag using discriminator 'kind'"),
        (
            {"figures": [{"kind": "bars", "title": "t", "alt": "a", "colum": "acc"}]},
            "figures 1.colum: unknown key; did you mean 'column'?",
        ),
        ({"claims": [{"rule": "beter"}]}, "claims 1.rule: unknown name 'beter'; did you mean 'better'?"),
        (
            {"claims": [{"says": "x", "rule": "better", "of": "acc", "run": "bnt", "than": ["none"]}]},
            "claims 1: run: unknown name 'bnt'; did you mean 'bntt'?",
        ),
    ],
)
def test_what_is_wrong_is_named(changed, said):
    assert bad(**changed).startswith(said)


def test_names_far_from_all_are_answered_with_all():
    assert unknown_name("zzz", ["a", "b"]) == "unknown name 'zzz'; known names: a, b"


def test_nothing_in_a_file_can_name_code():
    said = bad(measures={"x": {"kind": "os.system", "command": "true"}})
    assert said.startswith("measures.x.kind: unknown name 'os.system'")


def test_a_study_of_a_file_is_called_like_it_and_knows_its_folder(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('title = "t"\nabout = "a"\n[settings.small]\nrecipe = "demo"\n[[runs]]\nname = "a"\n')
    found = load_study(file)
    assert (found.name, found.folder) == ("mine", tmp_path)
    file.write_text('titl = "t"')
    with pytest.raises(RecipeError, match=r"mine.toml: titl: unknown key; did you mean 'title'\?"):
        load_study(file)
    with pytest.raises(RecipeError, match="no study 'table-6': did you mean 'table-"):
        load_study("table-6")


def test_a_run_has_a_place_at_every_setting():
    run = RunSpec.model_validate({"name": "a", "small": {"recipe": "demo"}})
    assert [run.at(setting) for setting in SETTINGS] == [AtSetting(), AtSetting(recipe="demo")]


def test_three_starts_by_default():
    assert Setting().seeds == [0, 1, 2]


def test_no_study_has_the_name_of_an_archive_of_weights():
    with pytest.raises(RecipeError, match="weights-x: archives of weights are called weights-NAME"):
        parse_study(study(), "weights-x")
