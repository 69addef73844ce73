"""Networks outside, timed: each way in its own process shows the library's logits first, or nothing is timed."""

import json

import numpy as np
import pytest

from bntt.bench import deployed
from bntt.bench.deployed import parity, report, samples_of, time_networks
from bntt.bench.deployed_worker import VARIANTS, main
from bntt.bench.parity import ParityError
from bntt.models import PRETRAINED, pretrained
from tests.kernels import needs_kernels


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(deployed, "IMAGES", 6)
    monkeypatch.setattr(deployed, "CALLS", {1: 2, 64: 1})


SOON = ("fashion-mnist-sparse", "fashion-mnist-rows")


@pytest.mark.parametrize(
    "network", [name if name in SOON else pytest.param(name, marks=pytest.mark.slow) for name in PRETRAINED]
)
def test_every_way_of_every_network_has_its_logits(network, few, tmp_path, monkeypatch, capsys):
    """In this process: what differs from the library's numbers would be told."""
    model, samples = pretrained(network), samples_of(network, deployed.IMAGES)
    np.save(tmp_path / "samples.npy", samples)
    deployed._write(model, network, tmp_path, list(VARIANTS))
    exact = deployed._exact_logits(model, samples)
    for variant in VARIANTS:
        told = {"variant": variant, "network": network, "folder": str(tmp_path), "batch": 4, "calls": 1}
        monkeypatch.setattr("sys.stdin", iter(["logits\n", "time\n"]))
        assert main(json.dumps(told)) == 0
        said = np.load(tmp_path / f"{variant}.npy")
        assert said.shape == exact.shape
        if "int8" not in variant:
            assert parity(variant, said, exact) == (1.0, 1.0)
        *_, timed = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert timed["seconds"] > 0
        assert timed["resident"] > 10 << 20


@needs_kernels
def test_ways_in_processes_of_their_own(few):
    said = []
    ways = ["runtime", "runtime step", "onnx step"]
    (found,) = time_networks(ways, networks=["fashion-mnist-sparse"], rounds=2, progress=said.append)
    assert [(way.variant, way.batch) for way in found.ways] == [(name, batch) for batch in (1, 64) for name in ways]
    assert all(len(way.seconds) == 2 and way.within == way.same_class == 1 for way in found.ways)
    assert found.ways[0].resident < 60 << 20, "it needs no torch"
    assert found.ways[0].seconds[0] < found.ways[3].seconds[0], "64 images take longer than one"
    assert found.ways[0].file != found.ways[2].file
    assert "fashion-mnist-sparse: the logits of onnx step" in said
    written = json.loads(json.dumps(report([found])))
    assert written["networks"][0]["ways"][0]["median"] == found.ways[0].median
    assert written["disk"]["pytorch"]["torch"] > 10 * written["disk"]["runtime"]["safetensors"] > 0
    assert len(deployed.figure(written).charts) == 2


def test_other_logits_are_named_and_nothing_is_timed(few, monkeypatch):
    monkeypatch.setattr(deployed, "_exact_logits", lambda model, samples: np.zeros((len(samples), 10)))
    said = []
    with pytest.raises(ParityError, match=r"runtime: 0.0% of 6 images have logits within 0.0001 .*: nothing is timed"):
        next(time_networks(["runtime"], networks=["fashion-mnist-sparse"], rounds=1, progress=said.append))
    assert not [what for what in said if "round" in what]
    with pytest.raises(ParityError):
        parity("fused", np.full((2, 3), np.nan), np.zeros((2, 3)))


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(deployed, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert deployed.missing()["onnx step"] == 'onnxruntime not installed: pip install "bntt[onnx]"'
    monkeypatch.setattr(deployed, "why_unavailable", lambda kernels: f"no {kernels}")
    assert deployed.missing()["fused"] == "no compiled kernels: no cpu"
