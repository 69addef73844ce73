"""``bntt energy``: tables, JSON, CSV, files, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli

SMALL = ("network.width=0.125", "network.num_steps=3", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    flags = [part for option in SMALL for part in ("-s", option)]
    assert cli.main(["train", "demo", *flags, "--root", str(root)]) == 0
    return root / "demo"


def test_tables_and_files(run, capsys):
    assert cli.main(["energy", str(run), "--steps", "2", "--split", "validation"]) == 0
    out = capsys.readouterr().out
    for said in (
        "after 3 steps",
        "after 2 steps",
        "conv3",
        "counts",
        "by digital-45nm",
        "Horowitz",
        "left out: memory",
    ):
        assert said in out
    assert (run / "energy-validation.png").read_bytes().startswith(b"\x89PNG")
    kept = json.loads((run / "energy-validation.json").read_text())
    assert (kept["steps"], kept["images"], kept["draws"], kept["split"]) == ([3, 2], 500, 1, "validation")


def test_json_and_csv_and_nothing_else(run, capsys):
    command = ["energy", str(run), "--costs", "digital-45nm", "--costs", "neuromorphic"]
    assert cli.main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((run / "energy.json").read_text())
    assert list(told["costs"]) == ["digital-45nm", "neuromorphic"]
    assert cli.main([*command, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["layer"] for row in rows] == ["conv1", "conv2", "conv3", "conv4", "fc1", "readout"]
    assert float(rows[1]["additions_by_spike"]) == told["layers"][1]["additions_by_spike"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--steps", "4"], 2, "--steps 4: must be a number of steps from 1 to 3"),
        (["--steps", "0"], 2, "--steps 0"),
        (["--draws", "0"], 2, "--draws must be 1 or more, got 0"),
        (["--costs", "digital-45"], 2, "did you mean 'digital-45nm'"),
        (["--json", "--csv"], 2, "choose one"),
    ],
)
def test_what_is_refused(run, capsys, options, code, message):
    assert cli.main(["energy", str(run), *options]) == code
    assert message in capsys.readouterr().err


def test_an_input_that_never_changes_is_told(tmp_path, capsys):
    flags = [part for option in (*SMALL, "encoder.name=direct") for part in ("-s", option)]
    assert cli.main(["train", "demo", *flags, "--root", str(tmp_path)]) == 0
    capsys.readouterr()
    assert cli.main(["energy", str(tmp_path / "demo")]) == 0
    assert "its current computed once, b has" in capsys.readouterr().out.replace("\n", " ")
    told = json.loads((tmp_path / "demo" / "energy.json").read_text())
    rows = {row["layer"]: row for row in told["layers"]}
    assert rows["conv1"]["input"] == "analog"
    assert rows["conv1"]["macs_by_spike"] == 3 * rows["conv1"]["ann_macs"]
    once = told["operations_by_value_if_the_input_current_is_computed_once"]["3"]["macs"]
    assert once == pytest.approx(sum(row["macs_by_value"] for row in rows.values()) - 2 * rows["conv1"]["ann_macs"])
    assert cli.main(["energy", str(tmp_path / "demo"), "--draws", "2"]) == 2


def test_what_is_no_run(tmp_path, capsys):
    assert cli.main(["energy", str(tmp_path)]) == 4
    assert "is not a run directory" in capsys.readouterr().err


def test_nothing_is_counted_of_a_wrong_table(run, tmp_path, capsys):
    table = tmp_path / "mine.toml"
    table.write_text('kind = "digital"\nunit = "pJ"\nsource = "x"\nmac = -1.0\naddition = 1.0\nmultiplication = 1.0\n')
    assert cli.main(["energy", str(run), "--costs", str(table)]) == 2
    assert "mac: must be a finite number, 0 or more, got -1.0" in capsys.readouterr().err
