"""The verbs that declarations make."""

import pytest

from bntt.analysis.measurements import MEASUREMENTS
from bntt.cli import main as cli
from bntt.cli.measure import verb
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs")).path


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_help_has_every_argument(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    shown = capsys.readouterr().out
    for field in MEASUREMENTS[name].arguments.__dataclass_fields__:
        assert f"--{field.replace('_', '-')}" in shown
    assert verb(MEASUREMENTS[name]).__name__ == name


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["drift", "/nonexistent"], 4, "is not a run directory"),
        (["drift", "RUN", "--layer", "conv9"], 2, "--layer conv9: choose one of conv1"),
        (["drift", "RUN", "--images", "0"], 2, "--images must be 1 or more, got 0"),
        (["drift", "RUN", "--json", "--csv"], 2, "choose one"),
        (["drift", "RUN", "--device", "cuda:9"], 5, "cuda"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main([str(run) if arg == "RUN" else arg for arg in args]) == code
    assert message in capsys.readouterr().err


def test_files_go_elsewhere_when_asked(run, tmp_path, capsys):
    assert cli.main(["drift", str(run), "--images", "20", "--out", str(tmp_path / "there")]) == 0
    assert {file.name for file in (tmp_path / "there").iterdir()} == {"drift.json", "drift.png"}
    assert f"written: {tmp_path / 'there' / 'drift.json'}" in capsys.readouterr().out.replace("\n", "")
