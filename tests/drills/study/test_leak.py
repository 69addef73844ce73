"""A study of one's own: one file, and it is planned, made, told, packed, read again and reported."""

import json
from pathlib import Path

from bntt.cli import main as cli
from tests.studies.kept import keep, small

HERE = Path(__file__).parent
STUDY = HERE / "leak.toml"


def test_it_is_one_file_and_goes_from_there_to_the_page(tmp_path, monkeypatch, capsys):
    assert [path.name for path in HERE.iterdir() if path.suffix not in (".py", "")] == ["leak.toml"]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", str(STUDY), "--small", "--dry-run"]) == 0
    assert "4 runs: 0 are used again, 0 are measured further, 4 are made" in capsys.readouterr().out
    for leak, accuracy in ((0.95, 0.8), (0.5, 0.6)):
        for seed in (0, 1):
            recipe = small(f"network.leak={leak}", f"seed={seed}")
            keep(tmp_path / "kept" / f"leak-{leak}-{seed}", recipe, accuracy=accuracy + 0.01 * seed * leak)
    assert cli.main(["study", str(STUDY), "--small", "--only-kept", "--results", "kept", "--pack", "packed"]) == 0
    assert "HOLDS: a slow leak is more accurate" in capsys.readouterr().out
    assert {path.name for path in Path("packed").iterdir()} == {"SHA256SUMS", "leak.json", "leak.tar.xz"}
    again = ["study", str(STUDY), "--small", "--only-kept", "--results", "packed", "--out", "again"]
    assert cli.main(again) == 0
    first, second = (
        json.loads((folder / "leak-small" / "result.json").read_text())
        for folder in (Path("runs/studies"), Path("again"))
    )
    assert (first["table"], first["claims"]) == (second["table"], second["claims"])
    assert second["runs"][0]["starts"][0]["directory"] == "packed/leak-0.95-0"
    assert cli.main(["report", "again", "--out", "leak.html"]) == 0
    assert "a slow leak is more accurate" in Path("leak.html").read_text(encoding="utf-8")
