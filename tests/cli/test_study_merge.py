"""``bntt study --merge``: another machine's file in, a kept result out, from the command line."""

import json

import tomli_w

from bntt.cli import main as cli
from tests.studies.evidence.test_merging import evidence
from tests.studies.kept import study


def test_a_file_of_another_machine_becomes_a_kept_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(study()))
    archive = str(evidence(tmp_path / "there"))
    assert cli.main(["study", "mine.toml", "--small", "--merge", archive, "--pack", "results"]) == 0
    out = capsys.readouterr().out
    assert "merged: runs/pool/demo-" in out
    assert ", Q at def" in out
    assert "packed: results/mine.tar.xz" in out
    rows = json.loads((tmp_path / "results" / "mine.json").read_text())["table"]["rows"]
    assert [(row["cells"]["acc"]["n"], row["made_on"]) for row in rows] == [
        (2, ["Q at def, float32: 2 runs"]),
        (1, ["Q at def, float32: 1 run"]),
    ]
    (tmp_path / "there.tar.xz").write_bytes(b"nothing")
    assert cli.main(["study", "mine.toml", "--small", "--merge", "there.tar.xz"]) == 4
    assert "there.tar.xz is no archive that can be read" in capsys.readouterr().err
