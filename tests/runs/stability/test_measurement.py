"""What stability declares, and its verb: a recipe instead of a run, a folder of results, and what is refused."""

import json

import pytest

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import result_from
from bntt.cli import main as cli
from bntt.runs.measure import measure
from bntt.runs.open_run import open_recipe
from bntt.runs.stability import StabilityArguments, StabilityResult

SMALL = ["-s", "network.num_steps=2", "-s", "network.width=0.1", "-s", "train.batch_size=20", "--networks", "mlp"]
GRID = ["stability", "demo", *SMALL, "--norms", "none", "bntt", "--rates", "0.3", "1e38", "--starts", "1"]
GRID += ["--steps", "3", "--images", "60"]


def test_it_is_told_kept_and_taken_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bntt.runs.stability.starts.ALONG", (0.5, 1.0))
    assert cli.main([*GRID, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "not finite" in out
    assert "Starts of mlp that failed: 3 updates per start" in out
    assert f"written: {tmp_path}/stability.json, {tmp_path}/stability.png, " in out
    assert (tmp_path / "stability.png").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    assert len(kept) == 4
    assert cli.main([*GRID, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "stability.json").read_text())
    assert {"network": "mlp", "norm": "none", "rate": 1e38, "failed": 1, "starts": 1} in found["shares"]
    assert [row["norm"] for row in result_from(StabilityResult, found).rows()] == ["none", "none", "bntt", "bntt"]
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}


def test_refusals_come_before_any_training(tmp_path, capsys):
    for args, code, message in (
        (["--norms", "bnnt"], 2, "did you mean 'bntt'"),
        (["--networks", "vgg7"], 2, "network.name: must be"),
        (["--rates", "0"], 2, "--rates: learning rates must be finite numbers above 0"),
        (["--rates", "nan"], 2, "--rates"),
        (["--norms"], 2, "--norms and --rates: name at least one of each"),
        (["--starts", "0"], 2, "--starts must be 1 or more"),
        (["--json", "--csv"], 2, "choose one"),
        (["--device", "tpu"], 5, "here: cpu"),
    ):
        assert cli.main(["stability", "demo", *args, "--out", str(tmp_path / "x")]) == code, args
        assert message in capsys.readouterr().err
        assert not (tmp_path / "x").exists()


def test_it_is_a_function(tmp_path):
    small = open_recipe("demo", ["network.num_steps=2", "network.width=0.1"], folder=tmp_path)
    grid = {"networks": ("mlp",), "norms": ("bn",), "rates": (0.1,), "starts": 1, "steps": 1, "images": 60}
    found = measure("stability", small, **grid)
    assert [(start.network, start.norm) for start in found.cells] == [("mlp", "bn")]
    assert found.dataset == "Fashion-MNIST (bundled part)"
    assert found.to_json() == json.loads((tmp_path / "stability.json").read_text())
    with pytest.raises(ArgumentError, match="stability: name one recipe, got 2"):
        measure("stability", small, "demo")


def test_moments():
    assert StabilityArguments(steps=1).moments == (0, 1)
    assert StabilityArguments(steps=10).moments == (0, 5, 10)
