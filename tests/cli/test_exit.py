"""``bntt exit``: what it prints, keeps and refuses; and ``bntt evaluate --exit``, which stops there."""

import json

import pytest

from bntt.cli import main as cli
from tests.runs.measured import small_run


def test_an_exit_is_chosen_kept_and_used(run, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--threshold", "0.9"]) == 0
    said = capsys.readouterr().out
    for words in ("stop after", "where to stop", "truncation, without γ", "the paper's threshold", "mean σ̄ at step"):
        assert words in said
    kept = json.loads((run / "exit.json").read_text())
    assert (run / "exit.png").is_file()
    assert cli.main(["evaluate", str(run), "--exit", "--draws", "1"]) == 0
    assert f"stopped after {kept['steps']} steps" in capsys.readouterr().out
    evaluated = json.loads((run / "evaluation-exit.json").read_text())
    assert len(evaluated["accuracy_over_time"]) == kept["steps"]
    assert evaluated["accuracy"] == pytest.approx(kept["chosen"]["test_accuracy"])


def test_each_image_by_itself(run, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--per-sample", "--split", "validation"]) == 0
    said = capsys.readouterr().out
    assert "each image by itself" in said
    assert all(word in said for word in ("confidence", "margin", "entropy"))
    heads = next(line.split() for line in said.splitlines() if "synops" in line)
    assert heads == ["by", "at", *(once := ["right", "steps", "synops", "time"]), "alike", *(once[:1] + once[2:])]
    assert (run / "exit-per-sample.png").is_file()
    assert not (run / "exit.json").exists()


@pytest.mark.parametrize("flag", ["--json", "--csv"])
def test_numbers_and_nothing_else(run, flag, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--split", "validation", flag]) == 0
    said = capsys.readouterr().out
    if flag == "--json":
        assert json.loads(said)["num_steps"] == 3
    else:
        assert said.splitlines()[0].startswith("steps,largest_mean_gamma")
        assert len(said.splitlines()) == 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--choose-on", "test"], "choose on validation"),
        (["--loss", "-1"], "--loss must be"),
        (["--loss", "nan"], "--loss must be"),
        (["--threshold", "-0.1"], "--threshold must be 0 or above"),
        (["--threshold", "nan"], "--threshold must be 0 or above"),
        (["--threshold", "0.1", "--per-sample"], "leave one of them away"),
        (["--draws", "0"], "--draws must be"),
    ],
)
def test_what_is_refused(run, flags, words, capsys):
    assert cli.main(["exit", str(run), *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (run / "exit.json").exists()


def test_a_threshold_that_nothing_reaches_warns(run, capsys):
    assert cli.main(["exit", str(run), "--draws", "1", "--threshold", "99", "--split", "validation"]) == 0
    assert "no mean γ reaches the exit threshold 99" in capsys.readouterr().err
    assert json.loads((run / "exit.json").read_text())["steps"] == 1


def test_evaluate_without_a_chosen_exit(run, capsys):
    assert cli.main(["evaluate", str(run), "--exit"]) == 4
    assert "choose one: bntt exit" in capsys.readouterr().err


def test_a_run_without_a_gamma_for_each_step(tmp_path, capsys):
    run = small_run(tmp_path, network={"norm": "bn"})
    assert cli.main(["exit", str(run.path)]) == 2
    said = capsys.readouterr().err
    assert "network.norm='bntt'" in said
    assert "--per-sample" in said
    assert cli.main(["exit", str(run.path), "--per-sample", "--draws", "1", "--split", "validation"]) == 0


def test_a_loss_that_cannot_be_kept(run, monkeypatch, capsys):
    from bntt.analysis import LossBudgetError

    def refuse(*args, **options):
        raise LossBudgetError("no threshold loses at most 0.5 points")

    monkeypatch.setattr("bntt.runs.measures.exits.choose_exit", refuse)
    assert cli.main(["exit", str(run), "--draws", "1", "--split", "validation"]) == 7
    assert "no threshold loses" in capsys.readouterr().err
