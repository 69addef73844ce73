"""``python -m benchmarks``: parity first, then tables and JSON as the pages read it; nothing on a red parity."""

import json

import pytest

from benchmarks import __main__ as program
from benchmarks import deployed, parity, timing
from benchmarks.cases import STANDARD, Case
from benchmarks.parity import ParityError
from bntt.models import PRETRAINED
from tests.kernels import needs_kernels

pytestmark = needs_kernels
TINY = [
    Case("VGG9 training, tiny", num_steps=2, batch=2, width=0.05),
    Case("VGG9 training, T=3", num_steps=3, batch=2, width=0.05),
]


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(program.SPEED, "standard", TINY)


@pytest.mark.slow
def test_a_whole_benchmark_is_shown_and_written(tiny, tmp_path, capsys):
    program.main(["--rounds", "1", "--out", str(tmp_path / "b"), "--variants", "fused", "dense limit"])
    shown = capsys.readouterr().out
    assert "VGG9 training, tiny, batch 2" in shown
    assert f"written: {tmp_path / 'b' / 'standard.json'}" in shown
    written = json.loads((tmp_path / "b" / "standard.json").read_text())
    assert [row["variant"] for row in written["parity"]] == ["loop", "fused"]
    assert [row["variant"] for row in written["cases"][0]["timings"]] == ["loop", "fused", "dense limit"]


@pytest.mark.slow
def test_a_red_parity_ends_it_before_anything_is_timed(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "TOLERANCE", 0.0)
    monkeypatch.setattr(timing, "compare", lambda *_: pytest.fail("timed"))
    with pytest.raises(ParityError, match="nothing is timed"):
        program.main(["--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_the_cases_before_it(tmp_path, capsys, monkeypatch):
    asked: list[Case] = []

    def compare(case, variants, rounds, threads):
        asked.append(case)
        if len(asked) == 2:
            raise RuntimeError("its process ended")
        row = {"variant": "loop", "seconds": [1.0], "peak_over_base": 0, "median": 1.0, "speed": 1.0}
        return {"case": {"name": case.name}, "firing_rate": {"conv1": 0.1}, "timings": [row]}

    monkeypatch.setattr(timing, "compare", compare)
    monkeypatch.setattr(program, "check_parity", lambda *_: [])
    with pytest.raises(RuntimeError):
        program.main(["--variants", "fused", "--out", str(tmp_path)])
    (row,) = json.loads((tmp_path / "standard.json").read_text())["cases"]
    assert row["case"]["name"] == STANDARD[0].name
    assert asked == STANDARD[:2]


@pytest.mark.parametrize(
    "words", [["--variants", "fused", "magic"], ["--cases", "deploy", "--variants", "loop"], ["--cases", "magic"]]
)
def test_what_is_not_here_is_a_usage_error(words, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main([*words, "--out", str(tmp_path / "b")])
    assert ended.value.code == 2
    assert ("there are" if "--variants" in words else "choose from") in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_each_network_is_written_when_it_is_there(tmp_path, capsys, monkeypatch):
    asked = []

    def timed(network, ways, rounds):
        asked.append(network)
        assert (tmp_path / "deploy.json").exists() == (len(asked) > 1)
        way = {"variant": "runtime", "batch": 1, "seconds": [0.001, 0.003], "resident": 47185920, "median": 0.002}
        return {"network": network, "num_steps": 8, "images": 1000, "ways": [way]}

    monkeypatch.setattr(deployed, "time_network", timed)
    program.main(["--cases", "deploy", "--out", str(tmp_path)])
    assert asked == [*PRETRAINED]
    assert "runtime 1 47,185,920 0.002" in " ".join(capsys.readouterr().out.split())
    written = json.loads((tmp_path / "deploy.json").read_text())
    assert [one["network"] for one in written["networks"]] == [*PRETRAINED]
    assert written["disk"].keys() == deployed.PACKAGES.keys()
