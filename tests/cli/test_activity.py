"""``bntt activity``: what it prints and keeps."""

import json

import pytest

from bntt.cli import main as cli


def test_tables_and_files(run, capsys):
    assert cli.main(["activity", str(run), "--split", "validation", "--places"]) == 0
    said = capsys.readouterr().out
    for words in ("spikes an image", "most at step", "how much σ̄ changes", "activity-validation-places.npz"):
        assert words in said
    for name in ("activity-validation.json", "activity-validation.png", "gamma.png", "activity-validation-places.npz"):
        assert (run / name).is_file()


@pytest.mark.parametrize("flag", ["--json", "--csv"])
def test_numbers_and_nothing_else(run, flag, capsys):
    assert cli.main(["activity", str(run), "--split", "validation", flag]) == 0
    said = capsys.readouterr().out
    if flag == "--json":
        assert json.loads(said) == json.loads((run / "activity-validation.json").read_text())
    else:
        assert said.splitlines()[1].startswith("conv1,1,")
        assert len(said.splitlines()) == 1 + 5 * 3


def test_draws_that_are_none(run, capsys):
    assert cli.main(["activity", str(run), "--draws", "0"]) == 2
    assert "--draws must be 1 or more" in capsys.readouterr().err
