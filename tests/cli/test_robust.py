"""``bntt robust``: tables, JSON, CSV, files, progress, several runs, and what is refused."""

import csv
import io
import json
import shutil

import pytest

from bntt.cli import main as cli
from tests.cli.test_evaluate import counted, run

__all__ = ["counted", "run"]

FEW = ("--sigmas", "0.3", "0.6", "--images", "50", "--draws", "2")


def test_tables_files_and_progress(run, counted, capsys):
    assert cli.main(["robust", str(run), *FEW]) == 0
    out = capsys.readouterr().out
    for said in (
        "test images: 50 of 1,000, stratified by class, seed 0; noise σ of the pixels' range, clipped to [0, 1]",
        "demo: vgg6, bntt, poisson, 2 steps",
        "spikes, noise",
        "clean, draw by draw: ",
        "accuracy if stopped after step",
        "σ 0.6",
        f"written: {run}/robust.json and .png",
    ):
        assert said in out
    assert (run / "robust.png").exists()
    assert counted == [("measuring", 300, 300)]


def test_json_and_csv(run, capsys):
    asked = ["robust", str(run), *FEW, "--unclipped", "--where", "normalized", "--split", "validation"]
    assert cli.main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((run / "robust-validation.json").read_text())
    assert (run / "robust-validation.png").exists()
    assert (found["split"], found["sigma_in"], found["clipped"]) == ("validation", "normalized", False)
    assert cli.main([*asked, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["sigma"]) for row in rows] == [0, 0.3, 0.6]
    assert float(rows[2]["accuracy"]) == found["runs"][0]["rows"][2]["accuracy"]


def test_several_runs_go_where_they_are_told(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "again")
    out = tmp_path / "new" / "place"
    assert cli.main(["robust", str(run), str(tmp_path / "again"), *FEW, "--steps", "1", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "accuracy minus that of demo (points), on the same images and noise" in said
    assert "again: vgg6" in said
    rows = json.loads((out / "robust.json").read_text())["runs"][1]["rows"]
    assert [row["to_first"] for row in rows] == [0, 0, 0]
    assert rows[0]["steps"] == 1
    assert (out / "robust.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "name a run directory"),
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "RUN"], 2, "is given twice"),
        (["RUN", "--sigmas", "-0.1"], 2, "--sigmas must be finite numbers from 0 to 1000, got -0.1"),
        (["RUN", "--sigmas", "0.1", "nan"], 2, "got nan"),
        (["RUN", "--sigmas", "inf"], 2, "got inf"),
        (["RUN", "--draws", "0"], 2, "--draws must be 1 or more"),
        (["RUN", "--images", "0"], 2, "--images must be 1 or more"),
        (["RUN", "--images", "1001"], 2, "--images 1001: the test split"),
        (["RUN", "--steps", "3"], 2, "--steps 3: "),
        (["RUN", "--device", "tpu"], 5, "device 'tpu' cannot be used"),
        (["RUN", "--json", "--csv"], 2, "choose one"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main(["robust", *[str(run) if a == "RUN" else a for a in args]]) == code
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1
