"""``bntt stability``: a line for each start, a table of those that failed, JSON, CSV, files, and what is refused."""

import csv
import io
import json

import pytest

from bntt.cli import main as cli
from tests.cli.test_evaluate import counted

__all__ = ["counted"]

SMALL = ["-s", "network.num_steps=2", "-s", "network.width=0.1", "-s", "train.batch_size=20", "--networks", "mlp"]
GRID = ["stability", "demo", *SMALL, "--norms", "none", "bntt", "--rates", "0.3", "1e38", "--starts", "1"]
GRID += ["--steps", "3", "--images", "60"]


def test_it_is_told_kept_and_taken_up(tmp_path, counted, capsys):
    assert cli.main([*GRID, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "mlp none lr 1e+38 start 1: not finite after" in out
    assert "starts of mlp that failed in 3 updates" in out
    assert f"written: {tmp_path}/stability.json and .png" in out
    assert (tmp_path / "stability.png").exists()
    assert counted == [("training", 12, 12)]
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert len(kept) == 4
    assert cli.main([*GRID, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "stability.json").read_text())
    assert {"network": "mlp", "norm": "none", "rate": 1e38, "failed": 1, "starts": 1} in found["shares"]
    assert cli.main([*GRID, "--out", str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["norm"] for row in rows] == ["none", "none", "bntt", "bntt"]
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--norms", "bnnt"], 2, "did you mean 'bntt'"),
        (["--networks", "vgg7"], 2, "network.name: unknown name"),
        (["--rates", "0"], 2, "--rates: learning rates must be finite numbers above 0"),
        (["--starts", "0"], 2, "1 or more starts"),
        (["--json", "--csv"], 2, "choose one"),
        (["--device", "tpu"], 5, "here: cpu"),
    ],
)
def test_refusals_come_before_any_training(args, code, message, tmp_path, capsys):
    assert cli.main(["stability", "demo", *args, "--out", str(tmp_path / "x")]) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
