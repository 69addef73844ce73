"""``bntt drift``: tables, JSON, CSV, files, progress, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli
from tests.cli.test_evaluate import counted, run

__all__ = ["counted", "run"]


def test_tables_files_and_progress(run, counted, capsys):
    assert cli.main(["drift", str(run), "--images", "50"]) == 0
    out = capsys.readouterr().out
    assert "distance of the input's mean from the held one" in out
    assert f"written: {run}/drift.json and .png" in out
    assert (run / "drift.png").exists()
    assert json.loads((run / "drift.json").read_text())["distribution"]["images"] == 50
    assert counted == [("measuring", 550, 550)]


def test_json_and_csv(run, capsys):
    assert cli.main(["drift", str(run), "--images", "50", "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["split"]) == (1000, "test")
    assert found == json.loads((run / "drift-test.json").read_text())
    assert cli.main(["drift", str(run), "--images", "50", "--split", "test", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(rows[2]["distance"]) == pytest.approx(found["layers"]["conv2"]["distance"][0])


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "--layer", "conv9"], 2, "--layer conv9: choose one of conv1"),
        (["RUN", "--images", "0"], 2, "--images must be 1 or more"),
        (["RUN", "--json", "--csv"], 2, "choose one"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main(["drift", *[str(run) if a == "RUN" else a for a in args]]) == code
    assert message in capsys.readouterr().err
