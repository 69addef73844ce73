"""Studies as they are read: every one that comes with bntt, and what is wrong with a bad one."""

import pytest

from bntt.runs.recipe.schema import RecipeError
from bntt.studies.study_file import AtSetting, RunSpec, load_study, parse_study, study_names
from tests.rows import each_row
from tests.studies.kept import study

PAPER = {*(f"table-{n}" for n in range(1, 6)), *(f"figure-{n}" for n in range(1, 9)), "energy", "stability"}


@each_row("name", study_names())
def test_every_study_loads_at_both_settings(name):
    found = load_study(name)
    assert found.settings.keys() == {"paper", "small"}
    assert found.claims or name in ("figure-2", "rates")
    assert len(found.table) > 0


def test_every_table_and_figure_of_the_paper_is_a_study():
    assert set(study_names()) >= PAPER


def run(**more):
    return {"runs": [{"name": "bntt", **more}]}


def column(**more):
    return {"table": [{"key": "a", "metric": "accuracy", **more}]}


def figure(kind, **more):
    return {"figures": [{"kind": kind, "title": "t", "alt": "a", **more}]}


def claim(rule, **more):
    return {"claims": [{"says": "x", "rule": rule, "run": "bntt", **more}]}


@each_row(
    ("changed", "said"),
    [
        ({"titel": "x"}, "titel: unknown key; did you mean 'title'"),
        ({"folder": "/"}, "folder: unknown key"),
        ({"settings": {}}, "settings"),
        ({"settings": {"small": {"sed": [1]}}}, "settings.small: sed: unknown key; did you mean 'seeds'"),
        ({"settings": {"small": {}}}, "runs bntt.small.recipe"),
        ({"runs": []}, "runs"),
        ({"runs": [{"name": "two words"}]}, "runs.0.name"),
        ({"runs": run()["runs"] * 2}, "runs: two are called 'bntt'"),
        ({"runs": [{"name": "b", "label": "bntt"}, {"name": "bntt"}]}, "labels, by which pictures go: two .* 'bntt'"),
        (run(norm="bn"), "runs.0: norm: unknown key"),
        (run(small={"recipee": ""}), "runs.0.small: recipee: unknown key; did you mean 'recipe'"),
        (run(measures=["activty"]), "runs bntt.measures: .*did you mean 'activity'"),
        (run(measures=["retiming"]), "runs bntt.measures: unknown name 'retiming'"),
        (run(begins_with="ann"), "runs bntt.begins_with, .*'ann'"),
        (run(trained=False, measures=["exit"]), "runs bntt.measures: exit"),
        ({"measures": {"x": {"kind": "robus"}}}, "measures: x.kind: .*did you mean 'robust'"),
        ({"measures": {"x": {"kind": "os.system", "command": "true"}}}, "measures: x.kind: unknown name 'os.system'"),
        ({"measures": {"x": "robust"}}, "measures: x.kind"),
        ({"measures": {"x": {"kind": "robust", "image": 1}}}, "measures: x: .*did you mean --images"),
        ({"measures": {"evaluate": {"kind": "exit"}}}, "measures.evaluate"),
        ({"measures_of_all": ["x"]}, "runs bntt.measures: unknown name 'x'"),
        (column(metric="acuracy"), "table a.metric: .*did you mean 'accuracy'"),
        ({"table": column()["table"] * 2}, "table: two are called 'a'"),
        (column(metric="noisy-accuracy", at=0.4), "table a: .*robust"),
        (column(metric="accuracy-after"), "table a.at"),
        (column(at=2.0), "table a.at"),
        (column(metric="exit-steps", measure="activity"), "table a.measure: .*exit.*activity"),
        (column(metric="exit-steps", measure="x"), "table a.measure: .*'x'"),
        (column(minus="b"), "table a.minus, .*'b'"),
        (figure("bars"), "figures.0.column"),
        (figure("gamma-histograms", layers=["conv1"]), "figures.0.steps"),
        (figure("bars", colum="acc"), "figures.0: colum: unknown key; did you mean 'column'"),
        (figure("bars", column="ac"), "figures.0: column: .*did you mean 'acc'"),
        (figure("bars", column="acc", runs=["bnt"]), "figures.0: run: .*did you mean 'bntt'"),
        (figure("noise", measure="nois"), "figures.0.measure: .*'nois'"),
        (figure("noise", measure="activity"), "figures.0.measure: .*robust.*activity"),
        (figure("noise"), "figures.0: .*robust"),
        (claim("beter"), "claims.0: .*'beter'.*'better'"),
        (claim("better", of="acc", than=["non"]), "claims.0: run: .*did you mean 'none'"),
        (claim("bounds", at_least={"ac": 1.0}), "claims.0: column: .*did you mean 'acc'"),
        (claim("bounds"), "claims.0: at_least"),
    ],
)
def test_what_is_wrong_is_named(changed, said):
    with pytest.raises(RecipeError, match=f"^{said}"):
        parse_study(study(**changed), "s")


def test_a_study_of_a_file_is_called_like_it_and_knows_its_folder(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('title = "t"\nabout = "a"\n[settings.small]\nrecipe = "demo"\n[[runs]]\nname = "a"\n')
    found = load_study(file)
    assert (found.name, found.folder, found.settings["small"].seeds) == ("mine", tmp_path, [0, 1, 2])
    file.write_text('titl = "t"')
    for name, said in ((file, r"mine.toml: titl"), ("table-6", "'table-6': did you mean 'table-")):
        with pytest.raises(RecipeError, match=said):
            load_study(name)


def test_a_run_has_a_place_at_every_setting():
    run = RunSpec.model_validate({"name": "a", "small": {"recipe": "demo"}})
    assert [run.at(setting) for setting in ("paper", "small")] == [AtSetting(), AtSetting(recipe="demo")]
