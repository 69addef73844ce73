"""``bntt exit`` with what the drill does not try, and ``bntt evaluate --exit``, which stops there."""

import json

import pytest

from bntt.charts.section import plural
from bntt.cli import main as cli
from tests.trained import copied_run


def test_an_exit_is_chosen_kept_and_used(run, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--threshold", "0.9"]) == 0
    assert "Stop after" in capsys.readouterr().out
    kept = json.loads((run / "exit.json").read_text())
    assert cli.main(["evaluate", str(run), "--exit", "--draws", "1"]) == 0
    assert f"stopped after {plural(kept['steps'], 'step')}, as bntt exit chose" in capsys.readouterr().out
    evaluated = json.loads((run / "evaluation-exit.json").read_text())
    assert len(evaluated["accuracy_over_time"]) == kept["steps"]
    assert evaluated["accuracy"] == pytest.approx(kept["chosen"]["test_accuracy"])


def test_a_threshold_that_nothing_reaches_is_told_once(run, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--threshold", "99", "--split", "validation"]) == 0
    assert capsys.readouterr().err.count("no mean γ reaches the exit threshold 99") == 1
    assert json.loads((run / "exit.json").read_text())["steps"] == 1


def test_evaluate_without_a_chosen_exit(run, capsys):
    assert cli.main(["evaluate", str(run), "--exit"]) == 4
    assert "choose one: bntt exit" in capsys.readouterr().err


@pytest.mark.slow
def test_each_image_by_itself_needs_no_gamma(tmp_path, capsys):
    run = copied_run(tmp_path, network={"norm": "bn"}).path
    assert cli.main(["exit", str(run)]) == 2
    assert "--per-sample needs no γ either" in capsys.readouterr().err
    assert cli.main(["exit", str(run), "--per-sample", "--draws", "1", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("criterion,threshold,validation_accuracy")
    assert (run / "exit-per-sample.png").is_file()
    assert not (run / "exit.json").exists()


def test_what_is_refused(run, capsys):
    for flags, words in (
        (["--threshold", "0.1", "--per-sample"], "pass only one of them"),
        (["--split", "validation"], "chooses on validation, so it cannot measure there: --split test"),
    ):
        assert cli.main(["exit", str(run), *flags]) == 2
        assert words in capsys.readouterr().err
    assert not (run / "exit.json").exists()


def test_a_loss_that_cannot_be_kept(run, monkeypatch, capsys):
    from bntt.analysis import LossBudgetError

    def refuse(*args):
        raise LossBudgetError("no threshold loses at most 0.5 points")

    monkeypatch.setattr("bntt.analysis.exit.early_exit.choose_exit", refuse)
    assert cli.main(["exit", str(run), "--draws", "1"]) == 7
    assert "no threshold loses" in capsys.readouterr().err
