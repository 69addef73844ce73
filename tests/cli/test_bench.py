"""``bntt bench``: parity first, then tables, JSON and a picture; nothing at all on a red parity."""

import json

import pytest
import torch

from bntt.bench import cases, deployed, parity, scaling, timing
from bntt.bench.accuracy import RACES, Point, Training
from bntt.bench.cases import Case
from bntt.bench.deployed_worker import VARIANTS
from bntt.bench.timing import Comparison, Timing
from bntt.cli import bench_tables
from bntt.cli import main as cli
from tests.kernels import needs_kernels

pytestmark = needs_kernels
TINY = [
    Case("VGG9 training, tiny", num_steps=2, batch=2, width=0.05),
    Case("VGG9 training, T=3", num_steps=3, batch=2, width=0.05),
]


def test_each_training_of_a_race_is_a_line():
    went = [Point(10, 90.0, 90.0, 0.5), Point(20, 150.0, 150.0, 0.9)]
    said = [bench_tables.training_line(RACES[0], Training("loop", 1, points)) for points in (went, went[:1])]
    assert said == [f"{RACES[0].name}: loop, seed 1: 87% {how}" for how in ("after 2.5 minutes", "not reached")]


@pytest.mark.slow
def test_a_whole_benchmark(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cases, "STANDARD", TINY)
    assert cli.main(["bench", "--rounds", "1", "--out", str(tmp_path / "b"), "--variants", "fused", "dense limit"]) == 0
    shown = capsys.readouterr().out
    assert "parity of loop: logits" in shown
    assert "VGG9 training, tiny (batch 2" in shown
    assert "1.00x" in shown
    written = json.loads((tmp_path / "b" / "bench.json").read_text())
    assert [t["variant"] for t in written["cases"][0]["timings"]] == ["loop", "fused", "dense limit"]
    assert (tmp_path / "b" / "bench.png").stat().st_size > 10_000


@pytest.mark.slow
def test_a_red_parity_ends_it_before_anything_is_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", 0.0)
    monkeypatch.setattr(cases, "STANDARD", TINY)
    assert cli.main(["bench", "--out", str(tmp_path / "b")]) == 6
    assert "nothing is timed" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_an_error_leaves_the_cases_before_it_and_a_bad_folder_is_found_first(tmp_path, capsys, monkeypatch):
    asked: list[Case] = []

    def compare(case, variants, **_):
        asked.append(case)
        if len(asked) == 2:
            with timing.start("bntt.bench.worker", {"variant": "none", "case": {"name": case.name}}, {}) as worker:
                worker.kill()
                timing.answer(f"{case.name}: fused", worker)
        return Comparison(case, {"conv1": 0.1}, [Timing("loop", [1.0], 0)])

    monkeypatch.setattr(timing, "compare", compare)
    monkeypatch.setattr(parity, "check_parity", lambda *_, **__: [])
    assert cli.main(["bench", "--variants", "fused", "--out", str(tmp_path / "b")]) == 5
    shown = capsys.readouterr()
    assert "fused not timed" in " ".join(shown.out.split())
    assert f"{cases.STANDARD[1].name}: fused: its process was killed by signal 9 (was memory short?)" in shown.err
    assert f"what was measured before is in {tmp_path / 'b' / 'bench.json'}" in shown.err
    (row,) = json.loads((tmp_path / "b" / "bench.json").read_text())["cases"]
    assert row["case"]["name"] == cases.STANDARD[0].name
    monkeypatch.setattr(deployed, "time_networks", compare)
    monkeypatch.setattr(scaling, "measure", compare)
    (tmp_path / "file").touch()
    for kind in ("standard", "deploy", "scaling"):
        assert cli.main(["bench", "--cases", kind, "--out", str(tmp_path / "file" / "b")]) == 2
    assert len(asked) == 2


def test_rounds_must_be_positive(capsys):
    assert cli.main(["bench", "--rounds", "0"]) == 2
    assert "--rounds must be 1 or more" in capsys.readouterr().err


def test_a_variant_that_is_not_here_is_named(capsys):
    assert cli.main(["bench", "--variants", "fused", "magic"]) == 2
    assert "cannot time magic here; there are loop, reference, fused, recompute" in capsys.readouterr().err


def test_networks_outside(tmp_path, capsys, monkeypatch):
    way = deployed.Way("runtime", 1, [0.001, 0.003], 45 << 20, 0.999, 1.0, 900_000)
    asked = []

    def timed(variants, *, rounds, progress):
        asked.append((list(variants), rounds))
        yield deployed.Deployed("fashion-mnist-vgg6", 8, 1000, [way])
        assert (tmp_path / "b" / "deploy.json").exists(), "each is written when it is there"

    monkeypatch.setattr(deployed, "time_networks", timed)
    monkeypatch.setattr(deployed, "missing", lambda: {"onnx": "onnx not installed: pip install x"})
    deploy = ["bench", "--cases", "deploy", "--out", str(tmp_path / "b")]
    assert cli.main([*deploy, "--rounds", "2"]) == 0
    assert asked == [([name for name in VARIANTS if name != "onnx"], 2)]
    out = " ".join(capsys.readouterr().out.split())
    assert "not timed: onnx (onnx not installed: pip install x)" in out
    assert "runtime 1 2.00 ms 0.25 ms 45 MiB 900 kB 99.9% 100.0%" in out
    assert json.loads((tmp_path / "b" / "deploy.json").read_text())["networks"][0]["ways"][0]["median"] == 0.002
    assert (tmp_path / "b" / "deploy.png").stat().st_size > 1000
    assert cli.main([*deploy, "--variants", "onnx", "runtime"]) == 2
    assert "cannot time onnx here; onnx not installed: pip install x; there are pytorch" in capsys.readouterr().err
    assert cli.main([*deploy, "--variants", "magic"]) == 2
    assert "cannot time magic here; there are pytorch, fused" in capsys.readouterr().err
    assert cli.main([*deploy, "--device", "cuda"]) == (5 if not torch.cuda.is_available() else 2)


def test_a_device_that_is_not_here_is_refused_before_anything_is_made(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert cli.main(["bench", "--device", "cuda", "--out", str(tmp_path / "b")]) == 5
    assert "device 'cuda' cannot be used" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
