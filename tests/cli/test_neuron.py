"""``bntt neuron``: a table, JSON, CSV, files, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli
from tests.cli.test_evaluate import run

__all__ = ["run"]


def test_a_table_and_files(run, capsys):
    assert cli.main(["neuron", str(run), "--layer", "conv2", "--place", "1", "2", "3"]) == 0
    out = capsys.readouterr().out
    assert "neuron 1, 2, 3 of conv2, test image 0 (" in out
    assert f"written: {run}/neuron.json and .png" in out
    assert (run / "neuron.png").exists()


def test_json_and_csv(run, capsys):
    assert cli.main(["neuron", str(run), "--image", "7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["image"], found["layer"]) == (7, "conv1")
    assert found == json.loads((run / "neuron.json").read_text())
    assert cli.main(["neuron", str(run), "--image", "7", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["membrane"]) for row in rows] == [step["membrane"] for step in found["steps"]]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "--layer", "conv9"], 2, "no neurons in a layer 'conv9'"),
        (["RUN", "--image", "1000"], 2, "numbers 0 to 999"),
        (["RUN", "--json", "--csv"], 2, "choose one"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main(["neuron", *[str(run) if a == "RUN" else a for a in args]]) == code
    assert message in capsys.readouterr().err
