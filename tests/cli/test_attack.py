"""``bntt attack``: tables, JSON, CSV, files, progress, exit code 7, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli
from bntt.runs.measures import attack
from tests.cli.test_evaluate import counted

__all__ = ["counted"]

SMALL = ["--eps", "8/255", "--images", "6", "--eot", "2", "--steps", "2", "--queries", "4", "--draws", "2"]


@pytest.fixture
def weak(monkeypatch):
    """So small a run is at chance, and its silent layers have no gradient: it is not asked for what it cannot have."""
    monkeypatch.setattr(attack, "SWEEP", (1,))
    monkeypatch.setattr("bntt.runs.measures.attack_rows.zero_gradients", lambda zero: "")
    monkeypatch.setattr("bntt.runs.measures.attack_rows.still_right", lambda right, classes: "")


def test_tables_files_and_progress(run, weak, counted, capsys):
    assert cli.main(["attack", str(run), *SMALL]) == 0
    out = capsys.readouterr().out
    assert "of the clean images right (6 of 1,000, stratified by class, seed 0, with 6 of the 10 classes)" in out
    assert "eps = 8/255" in out
    assert "how many draws are enough" in out
    assert "an upper bound of the robust accuracy" in out
    assert f"written: {run}/attack.json and .png" in out
    assert (run / "attack.png").exists()
    (told,) = counted
    assert told[1] == told[2]


def test_json_and_csv(run, weak, capsys):
    command = ["attack", str(run), *SMALL, "--attack", "fgsm"]
    assert cli.main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((run / "attack.json").read_text())
    assert [row["attack"] for row in found["rows"]] == [
        "pgd, no bound", "pgd, no bound", "signs", "fgsm", "fgsm", "worst case"
    ]  # fmt: skip
    assert cli.main([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["accuracy"]) for row in rows] == [row["accuracy"] for row in found["rows"]]


def test_transfer(run, trained, weak, capsys):
    assert cli.main(["attack", str(run), *SMALL, "--attack", "fgsm", "--from", str(trained.path)]) == 0
    out = capsys.readouterr().out
    assert "made on tiny" in out
    assert "copy: " in out


def test_invalid_rows_are_told_and_written_and_the_code_is_7(run, monkeypatch, capsys):
    """E2: gradients of zeros, as the released encoder has them."""
    real = attack.descend

    def hidden(model, images, labels, threat, **options):
        found = real(model, images, labels, threat, **options)
        return type(found)(images, found.zero | True, found.agreement)

    monkeypatch.setattr(attack, "descend", hidden)
    monkeypatch.setattr(attack, "SWEEP", (1,))
    assert cli.main(["attack", str(run), *SMALL, "--attack", "fgsm"]) == 7
    shown = capsys.readouterr()
    assert "INVALID" in shown.out
    assert shown.err.count("\n") == 1
    assert "the gradient is zero in every pixel of 100.0% of the images" in shown.err
    assert any(row["invalid"] for row in json.loads((run / "attack.json").read_text())["rows"])
    assert (run / "attack.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "--eps", "8"], 2, "is 8/255 meant"),
        (["RUN", "--eps", "0"], 2, "of 0 the accuracy is the clean one"),
        (["RUN", "--eps", "nan"], 2, "eps must be above 0"),
        (["RUN", "--eps=-8/255"], 2, "eps must be above 0"),
        (["RUN", "--steps", "0"], 2, "--steps must be 1 or more"),
        (["RUN", "--restarts", "0"], 2, "--restarts must be 1 or more"),
        (["RUN", "--images", "100000"], 2, "--images 100000: the test split of"),
        (["RUN", "--step-size", "2"], 2, "is 2/255 meant"),
        (["RUN", "--attack", "cw"], 2, "invalid choice"),
        (["RUN", "--json", "--csv"], 2, "choose one"),
        (["RUN", "--device", "tpu"], 5, "here: cpu"),
        (["RUN", "--from", "/nonexistent"], 4, "is not a run directory"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    given = [str(run) if arg == "RUN" else arg for arg in args]
    try:
        found = cli.main(["attack", *given])
    except SystemExit as stop:
        found = stop.code
    assert found == code
    assert message in capsys.readouterr().err
    assert not (run / "attack").exists()
