"""``bntt equivalence``: tables, JSON, CSV, the files, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli
from bntt.cli.equivalence import _share
from tests.runs.tiny import parts, recipe, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return trained(of, parts(of), tmp_path_factory.mktemp("runs"))[0].path


def test_tables_and_files(run, capsys):
    assert cli.main(["equivalence", str(run), "--images", "20"]) == 0
    out = capsys.readouterr().out
    assert "validation: 20 images, epoch 1" in out
    assert "each layer alone, on true spikes" in out
    assert "the network on its own spikes" in out
    assert f"written: {run}/equivalence.json and .png" in out
    assert json.loads((run / "equivalence.json").read_text())["images"] == 20
    assert (run / "equivalence.png").exists()


def test_json_of_the_other_split(run, capsys):
    assert cli.main(["equivalence", str(run), "--images", "20", "--split", "test", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["split"] == "test"
    assert found == json.loads((run / "equivalence-test.json").read_text())
    assert (run / "equivalence-test.png").exists()


def test_csv(run, capsys):
    assert cli.main(["equivalence", str(run), "--images", "5", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["network"] for row in rows} == {"exact", "no mean", "no ratio", "Eq. 15"}
    assert {row["step"] for row in rows} == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "--images", "0"], 2, "images must be 1 or more, got 0"),
        (["RUN", "--images", "1", "--json", "--csv"], 2, "choose one"),
        (["RUN", "--device", "tpu"], 5, "here: cpu"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main(["equivalence", *[str(run) if a == "RUN" else a for a in args]]) == code
    assert message in capsys.readouterr().err


def test_a_few_are_seen():
    assert [_share(share) for share in (0.0, 3e-7, 0.0123)] == ["0.00%", "3.0e-07", "1.23%"]
