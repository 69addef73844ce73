"""``bntt report``: one page of runs and studies, or one line that says what is wrong."""

import json

import pytest

from bntt.cli import main as cli
from tests.studies.report.results import write_run, write_study


def lines(capsys):
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_a_trained_run_of_ours_with_what_was_measured_of_it(run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert cli.main(["activity", str(run), "--draws", "1"]) == 0
    assert cli.main(["report", str(run), "--out", str(out)]) == 0
    said = lines(capsys)
    assert said[-1] == f"written: {out}"
    assert "gap" not in "".join(said)
    assert all(part in out.read_text(encoding="utf-8") for part in ("Spike activity", "Best validation accuracy"))


def test_without_arguments_all_that_there_is(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["report"]) == 2
    assert f"{tmp_path}/runs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    write_run(tmp_path / "runs" / "a")
    write_study(tmp_path / "runs" / "studies" / "table-1")
    assert cli.main(["report"]) == 0
    assert lines(capsys)[0].startswith("runs and studies: 2, ")
    assert (tmp_path / "report.html").is_file()
    assert cli.main(["report", "runs/a"]) == 0
    page = tmp_path / "runs" / "a" / "report.html"
    assert "<h1>a</h1>" in page.read_text(encoding="utf-8"), "beside what it tells of"


def test_gaps_are_counted_and_the_page_is_written(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    (run / "energy.json").write_text('{"layers": NaN}')
    (run / "exit.json").write_text("[" * 50_000)
    assert cli.main(["report", str(run), "--out", str(tmp_path / "a.html")]) == 0
    assert "2 gaps" in capsys.readouterr().out
    assert "energy.json: dataset" in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("folder", "out", "code", "named"),
    [
        ("broken", "a.html", 4, "result.json"),
        ("untitled", "a.html", 4, "result.json"),
        ("none", "a.html", 4, "none"),
        ("run", ".", 2, "--out"),
        ("run", "run/recipe.toml", 2, "recipe.toml"),
        ("run", "run/recipe.toml/a.html", 2, "recipe.toml"),
    ],
)
def test_what_is_no_result_and_where_no_page_can_be_is_refused(folder, out, code, named, tmp_path, capsys):
    (write_study(tmp_path / "broken") / "result.json").write_text("{")
    (write_study(tmp_path / "untitled") / "result.json").write_text(json.dumps({"title": "none"}))
    before = (write_run(tmp_path / "run") / "recipe.toml").read_bytes()
    assert cli.main(["report", str(tmp_path / folder), "--out", str(tmp_path / out)]) == code
    said = capsys.readouterr().err
    assert named in said
    assert said.count("\n") == 1
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before
    assert not (tmp_path / "a.html").exists()
