"""A study's result as a subject."""

import json

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.studies.report.claims import VERDICTS
from bntt.studies.report.study import PARTS, study_subject
from tests.rows import each_row
from tests.studies.report.results import study, write_study


def of(tmp_path, **changes):
    return study_subject(write_study(tmp_path / "study", study() | changes))


def section(subject, title):
    return next(one for one in subject.sections if one.title == title)


def test_ours_stand_beside_the_papers(tmp_path):
    subject = of(tmp_path)
    (table,) = section(subject, "Results").tables
    assert table.columns == ("run", "test accuracy (%)", "time steps")
    ours, steps = table.rows[0][1:]
    assert (ours.text, ours.value) == ("54.5 ± 0.3", 54.55)
    assert (ours.note, ours.source) == ("3 starts, 53.55 to 55.55; paper: 90.5", "Table 1")
    assert (steps.text, steps.note) == ("8", "5 starts; paper: 25")
    assert [cell.text for cell in table.rows[1][2:]] == ["not run"]
    assert [(cell.text, cell.note) for cell in table.rows[2][1:]] == [("not run", "")] * 2
    assert "small setting" in table.note
    assert "Preliminary" in section(subject, "Results").words[0]


def test_a_row_that_is_another_by_definition_says_so(tmp_path):
    rows = study()["table"]
    rows["rows"][1] |= {"same_as": "BNTT", "made_on": ["P at abc, float32: 3 runs"], "also_run": ["start 0 on Q"]}
    (table,) = section(of(tmp_path, table=rows), "Results").tables
    assert [row[0].note for row in table.rows] == ["", "by definition BNTT", ""]
    *_, made = section(of(tmp_path / "again", table=rows), "Results").folded
    assert [cell.text for cell in made.rows[0]] == ["standard BN", "P at abc, float32: 3 runs"]
    assert made.rows[0][1].note == "also run, and in no number: start 0 on Q"


def test_numbers_without_a_text_and_near_0_are_in_the_unit_of_their_column(tmp_path):
    held = study()
    held["table"]["rows"][0]["cells"] = {
        "accuracy": {"mean": 54.5, "sd": 0.31, "n": 6, "low_95": 54.2, "high_95": 54.8},
        "steps": {"mean": 8, "sd": None, "n": 1},
    }
    row = section(of(tmp_path, table=held["table"]), "Results").tables[0].rows[0]
    assert (row[1].text, row[1].note) == ("54.5 ± 0.31", "6 starts, 54.2 to 54.8; paper: 90.5")
    assert (row[2].text, row[2].note) == ("8", "1 start; paper: 25")
    near = {"mean": 0.0, "sd": 0.5, "n": 5, "low_95": -0.62, "high_95": 0.62, "text": "0.0 ± 0.5"}
    held["table"]["rows"][0]["cells"] = {"accuracy": near}
    row = section(of(tmp_path / "near", table=held["table"]), "Results").tables[0].rows[0]
    assert (row[1].text, row[1].note) == ("0.0 ± 0.5", "5 starts, -0.62 to 0.62; paper: 90.5")


def test_starts_that_are_not_done_are_listed(tmp_path):
    subject = of(tmp_path)
    (settings,), (missing,) = section(subject, "Runs").folded, section(subject, "Runs").tables
    failed, lacking = (row[2] for row in missing.rows)
    assert (failed.text, failed.note, failed.mark) == ("failed", "numbers not finite at update 40", "bad")
    assert lacking.text == "not run"
    assert [row[2].text for row in settings.rows] == ["train.epochs=6", "network.norm=bn", "none"]
    assert dict(subject.facts)["Starts"] == "4 of 6 done"


def test_verdicts_have_a_sign_and_a_word(tmp_path):
    subject = of(tmp_path)
    claims = section(subject, "Claims").claims
    assert [claim.verdict for claim in claims] == list(VERDICTS)
    assert len({claim.sign for claim in claims}) == len({claim.mark for claim in claims}) == 4
    assert [cell.text for cell in subject.compared] == [
        "Table 1: accuracy on CIFAR-10", "small", "4 of 6 done", "1", "1", "1", "1"
    ]  # fmt: skip


def test_figures_that_cannot_be_shown_are_gaps(tmp_path):
    figures = [{"file": "accuracy.svg", "title": "a", "alt": ""}, {"file": "../x.svg", "title": "b", "alt": "c"}]
    found = section(of(tmp_path, figures=figures * 26), "Figures")
    assert found.pictures[0].alt == "No description was given."
    assert found.gaps[0] == "52 figures, more than the 50 that are shown"
    assert "../x.svg" in found.gaps[1]


def test_charts_of_a_figure_are_drawn_by_the_page(tmp_path):
    """In its colours; what is no chart is a gap."""
    line = {"name": "conv1", "x": [1, 2], "y": [0.5, 0.25]}
    axis = {"label": "γ"}
    chart = {"kind": "lines", "title": "BNTT", "x": axis, "y": axis, "lines": [line]}
    wrong = [
        chart | {"kind": "pie"},
        chart | {"kind": ["lines"]},
        chart | {"lines": [line | {"y": [0.5]}]},
        chart | {"lines": 3},
        "x",
    ]
    figures = [{"title": "γ over time", "charts": [one]} for one in (chart, *wrong)]
    found = section(of(tmp_path, figures=figures), "Figures")
    assert [one.title for one in found.charts] == ["γ over time: BNTT"]
    assert len(found.gaps) == len(wrong)


def test_many_quantities_have_a_row_each(tmp_path):
    held = study()["table"]
    held["columns"] += [{"key": f"more-{n}", "title": f"more {n}", "unit": ""} for n in range(6)]
    (table,) = section(of(tmp_path, table=held), "Results").tables
    assert table.columns == ("quantity", "BNTT", "standard BN", "no normalisation")
    assert [row[0].text for row in table.rows[:3]] == ["test accuracy (%)", "time steps", "more 0"]
    assert table.rows[0][1].note.endswith("paper: 90.5")


def test_numbers_of_a_claim_share_a_scale_with_what_they_are_held_against(tmp_path):
    effect = {"name": "BNTT − BN", "of": "accuracy, points", "mean": 4.0, "low": 1.0, "high": 7.0, "starts": 3}
    other = effect | {"name": "BNTT − none", "mean": 9.0, "low": None, "high": None}
    claim = study()["claims"][0] | {"effects": [effect | {"bounds": [0.0]}, other | {"bounds": [0.0]}]}
    (found,) = section(of(tmp_path, claims=[claim]), "Claims").claims
    ((one, two),) = (plot.strips for plot in found.plots)
    assert one.scale == two.scale == (0.0, 9.0)
    assert (one.said, two.said) == ("+4 (+1 to +7)", "+9")
    assert found.few


@pytest.mark.parametrize("key", ["table", "figures", "claims", "runs"])
@each_row("odd", [None, 3, "x", [None], [{}], {}])
def test_parts_of_another_kind_are_gaps_beside_the_rest(key, odd, tmp_path):
    subject = of(tmp_path, **{key: odd})
    assert [one.title for one in subject.sections] == list(PARTS)
    with_gaps = [one.title for one in subject.sections if one.gaps]
    titles = {"table": "Results", "figures": "Figures", "claims": "Claims", "runs": "Runs"}
    assert set(with_gaps) <= {titles[key]}
    assert with_gaps or (key, odd) == ("figures", None)


def test_an_unknown_verdict_is_a_gap(tmp_path):
    claims = [{"says": "x", "source": "", "verdict": "proven", "because": "", "rule": ""}]
    assert "'proven' is no verdict" in section(of(tmp_path, claims=claims), "Claims").gaps[0]


@each_row("content", ["{", "[]", "{}", '{"study": 3}'])
def test_a_result_of_no_study_is_an_error(content, tmp_path):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(CheckpointError, match="run the study again"):
        study_subject(tmp_path)


def test_paper_settings_have_no_note_of_a_small_one(tmp_path):
    subject = of(tmp_path, setting="paper")
    assert not section(subject, "Results").tables[0].note
    assert json.dumps(subject.facts).count("paper") == 2
