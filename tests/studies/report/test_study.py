"""A study's result as a subject."""

import json

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.studies.report import MARKS, study_subject
from bntt.studies.study_result import write_results
from tests.rows import each_row
from tests.studies.found import full_result
from tests.studies.report.results import CHART, cell, study, write_study


def of(tmp_path, **changes):
    return study_subject(write_study(tmp_path / "study", study() | changes))


def section(subject, title):
    return next(one for one in subject.sections if one.title == title)


def test_ours_stand_beside_the_papers(tmp_path):
    subject = of(tmp_path)
    (table,) = section(subject, "Results").tables
    assert table.columns == ("run", "test accuracy (%)", "time steps")
    ours, steps = table.rows[0][1:]
    assert (ours.text, ours.value, ours.source) == ("54.5 ± 0.3", 54.55, "Table 1")
    assert ours.note == "3 starts, 53.5 to 55.5; paper: 90.5"
    assert (steps.text, steps.note) == ("8", "5 starts; paper: 25")
    assert [cell.text for cell in table.rows[1][2:]] == ["not run"]
    assert [(cell.text, cell.note) for cell in table.rows[2][1:]] == [("not run", "")] * 2
    assert "small setting" in table.note
    assert "Preliminary" in section(subject, "Results").words[0]
    held = study()["table"]
    held["rows"][0]["cells"]["accuracy"] = cell(0.0, 0.5, [0.0] * 5) | {"low_95": -0.62, "high_95": 0.62}
    around_0 = section(of(tmp_path, table=held, setting="paper"), "Results").tables[0]
    assert (around_0.rows[0][1].note, around_0.note) == ("5 starts, -0.62 to 0.62; paper: 90.5", "")


def test_a_claim_has_quotation_source_number_verdict_and_reason(tmp_path):
    first = study()["claims"][0] | {"quotation": "better", "paper": "90.5 %"}
    (table,) = section(of(tmp_path, claims=[first, *study()["claims"][1:]]), "Claims").tables
    says, *others, verdict, because = table.rows[0]
    assert (says.text, says.note) == ("BNTT is better than standard BN at equal budget", "“better”")
    assert [one.text for one in others] == ["Section 4.1", "90.5 %"]
    assert (verdict.text, verdict.mark, because.text) == ("holds", "good", "54.5 against 51.2 %")
    assert [(row[3].text, row[3].mark) for row in table.rows] == list(MARKS.items())


def test_starts_that_are_not_done_are_listed(tmp_path):
    rows = study()["table"]
    rows["rows"][1] |= {"made_on": ["P at abc, float32: 3 runs"]}
    subject = of(tmp_path, table=rows)
    (recipes,), (missing,) = section(subject, "Runs").folded, section(subject, "Runs").tables
    failed, lacking = (row[2] for row in missing.rows)
    assert (failed.text, failed.note, failed.mark) == ("failed", "numbers not finite at update 40", "bad")
    assert (lacking.text, lacking.mark) == ("not run", "gap")
    assert [cell.text for cell in recipes.rows[1][2:]] == [
        "train.epochs=6, network.norm=bn",
        "P at abc, float32: 3 runs",
    ]
    assert dict(subject.facts)["Starts"] == "4 of 6 done"


def test_a_study_is_a_row_of_the_index(tmp_path):
    assert [cell.text for cell in of(tmp_path).compared] == [
        "Table 1: accuracy on CIFAR-10", "small", "4 of 6 done", "1", "1", "1", "1"
    ]  # fmt: skip


def test_charts_of_a_figure_have_its_title(tmp_path):
    (chart,) = section(of(tmp_path), "Figures").charts
    assert (chart.title, chart.lines[0].y) == ("γ over time: BNTT", [0.5, 0.25])
    nothing = of(tmp_path / "none", figures=[], runs=[], claims=[], table=study()["table"] | {"rows": []})
    assert [one.title for one in nothing.sections] == ["Claims", "Results", "Runs"]


def test_what_a_study_writes_is_what_the_page_reads(tmp_path):
    result = full_result("figure-4")
    (path,) = write_results([result], tmp_path)
    subject = study_subject(path.parent)
    assert section(subject, "Figures").charts[0].title.startswith("γ of every layer over time: ")
    assert section(subject, "Results").tables[0].rows
    held = json.loads(path.read_text()) | {"of a later version": 1}
    assert study_subject(write_study(tmp_path / "later", held)).sections == subject.sections


FIGURE = study()["figures"][0]


@each_row(
    "wrong",
    [
        *({key: odd} for key in ("table", "figures", "claims", "runs") for odd in (None, 3, "x", [None], [{}])),
        {"claims": [study()["claims"][0] | {"verdict": "proven"}]},
        {"figures": [FIGURE | {"charts": [CHART | {"lines": [{"name": "a", "x": [1, 2], "y": [0.5]}]}]}]},
        {"figures": [FIGURE | {"charts": ["x"]}]},
    ],
)
def test_a_part_of_another_kind_is_an_error_that_names_it(wrong, tmp_path):
    (key,) = wrong
    with pytest.raises(CheckpointError, match=rf"result\.json: {key}"):
        of(tmp_path, **wrong)


@each_row("content", ["{", "[]", "{}", '{"study": 3}'])
def test_a_result_of_no_study_is_an_error(content, tmp_path):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"result\.json"):
        study_subject(tmp_path)
