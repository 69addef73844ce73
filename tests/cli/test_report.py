"""``bntt report``: one page of runs and studies, or one line that says what is wrong."""

import json

import pytest

from bntt.cli import main as cli
from tests.studies.report.results import write_run, write_study


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_one_run(tmp_path, capsys):
    run, out = write_run(tmp_path / "runs" / "demo"), tmp_path / "demo.html"
    assert cli.main(["report", str(run), "--out", str(out)]) == 0
    assert lines(capsys)[-1] == f"written: {out}"
    assert "<h1>demo</h1>" in out.read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_trained_run_of_ours(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["activity", str(run), "--draws", "1"]) == 0
    assert cli.main(["report", str(run), "--out", str(out)]) == 0
    assert "gap" not in capsys.readouterr().out
    text = out.read_text(encoding="utf-8")
    assert "Spike activity" in text
    assert "Best validation accuracy" in text


def test_without_arguments_all_that_there_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "a")
    write_study(tmp_path / "runs" / "studies" / "table-1")
    assert cli.main(["report"]) == 0
    assert lines(capsys)[0].startswith("runs and studies: 2, ")
    assert (tmp_path / "report.html").is_file()
    assert cli.main(["report", "runs/a"]) == 0
    assert (tmp_path / "runs" / "a" / "report.html").is_file(), "beside what it tells of"


def test_nothing_says_where_it_looked(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report"]) == 2
    assert f"{tmp_path}/runs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_gaps_are_counted_and_the_page_is_written(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (run / "energy.json").write_text('{"layers": NaN}')
    (run / "exit.json").write_text("[" * 50_000)
    assert cli.main(["report", str(run), "--out", str(tmp_path / "a.html")]) == 0
    assert "2 gaps" in capsys.readouterr().out
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "energy.json: dataset: Field required" in text


@pytest.mark.parametrize("content", ["{", json.dumps({"title": "none"})])
def test_a_broken_study_is_an_error_in_one_line(content, tmp_path, capsys):
    folder = write_study(tmp_path / "study")
    (folder / "result.json").write_text(content)
    assert cli.main(["report", str(folder), "--out", str(tmp_path / "a.html")]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "a.html").exists()


def test_what_is_no_run_and_where_nothing_can_be_written(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path / "none")]) == 4
    assert "is neither a run nor a study" in capsys.readouterr().err
    run = write_run(tmp_path / "run")
    assert cli.main(["report", str(run), "--out", str(tmp_path)]) == 2
    assert "name the file to write" in capsys.readouterr().err
    before = (run / "recipe.toml").read_bytes()
    assert cli.main(["report", str(run), "--out", str(run / "recipe.toml")]) == 2
    assert "is a file and no page" in capsys.readouterr().err
    assert (run / "recipe.toml").read_bytes() == before
    assert cli.main(["report", str(run), "--out", str(run / "recipe.toml" / "a.html")]) == 2
