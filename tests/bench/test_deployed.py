"""Trained networks, timed: each way in its own process shows the library's logits first, or nothing is timed."""

import json

import numpy as np
import pytest

from benchmarks import deployed, ways
from benchmarks.deployed import exact_logits, parity, samples_of, time_network
from benchmarks.parity import ParityError
from benchmarks.ways import FILES
from bntt.models import PRETRAINED, pretrained
from tests.kernels import needs_kernels


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(deployed, "IMAGES", 6)
    monkeypatch.setattr(deployed, "CALLS", {64: 1, 1: 2})


SOON = ("fashion-mnist-sparse", "fashion-mnist-rows")


@pytest.mark.parametrize(
    "network", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in PRETRAINED]
)
def test_every_way_of_every_network_has_its_logits(network, few, tmp_path, monkeypatch, capsys):
    """In this process: what differs from the library's numbers would be told."""
    model, samples = pretrained(network), samples_of(network, deployed.IMAGES)
    deployed.write(model, network, samples, tmp_path, list(FILES))
    exact = exact_logits(model, samples)
    for way in FILES:
        told = {"way": way, "network": network, "folder": str(tmp_path), "batch": 4, "calls": 1}
        monkeypatch.setattr("sys.stdin", iter(["logits\n", "time\n"]))
        ways.main(json.dumps(told))
        said = np.load(tmp_path / f"{way}.npy")
        assert said.shape == exact.shape
        if "int8" not in way:
            assert parity(way, said, exact) == {"within": 1.0, "same_class": 1.0}
        *_, timed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert timed["seconds"] > 0
        assert timed["resident"] > 10 << 20


@needs_kernels
def test_ways_in_processes_of_their_own(few):
    chosen = ["runtime", "runtime step", "onnx step"]
    found = time_network("fashion-mnist-sparse", chosen, rounds=2)
    rows = found["ways"]
    assert [(row["variant"], row["batch"]) for row in rows] == [(name, batch) for batch in (1, 64) for name in chosen]
    assert all(len(row["seconds"]) == 2 and row["within"] == row["same_class"] == 1 for row in rows)
    assert rows[0]["resident"] < 60 << 20, "it needs no torch"
    assert rows[0]["seconds"][0] < rows[3]["seconds"][0], "64 images take longer than one"
    assert rows[0]["file"] != rows[2]["file"]
    assert rows[0]["median"] == sum(rows[0]["seconds"]) / 2
    assert deployed.disk()["pytorch"]["torch"] > 10 * deployed.disk()["runtime"]["safetensors"] > 0


def test_other_logits_are_named_and_nothing_is_timed(few, monkeypatch):
    monkeypatch.setattr(deployed, "exact_logits", lambda model, samples: np.zeros((len(samples), 10)))
    turns, real = [], deployed.take_turns
    monkeypatch.setattr(deployed, "take_turns", lambda *args: turns.append(args[2]) or real(*args))
    with pytest.raises(ParityError, match=r"runtime: 0\.0% of 6 images"):
        time_network("fashion-mnist-sparse", ["runtime"], rounds=1)
    assert turns == ["logits"]


def test_shares_that_a_way_may_have_depend_on_its_weights():
    assert parity("runtime int8", np.eye(3), np.eye(3) + 1e-3) == {"within": 0.0, "same_class": 1.0}
    for way, logits in (("runtime", np.eye(3) + 1e-3), ("fused", np.full((3, 3), np.nan))):
        with pytest.raises(ParityError):
            parity(way, logits, np.eye(3))


def test_what_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(deployed, "find_spec", lambda name: None if name == "onnxruntime" else object())
    monkeypatch.setattr(deployed, "why_unavailable", lambda kernels: f"no {kernels}")
    assert deployed.available() == [
        f"{name}{step}" for step in ("", " step") for name in ("pytorch", "runtime", "runtime int8")
    ]
