"""The declaration of the energy measurement: its flags on the command line, and its file names."""

import json

import pytest

from bntt.analysis.energy.measurement import ENERGY, EnergyArguments
from bntt.cli import main as cli
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs")).path


def test_files_of_the_other_split_are_their_own():
    assert ENERGY.stem(EnergyArguments(draws=2)) == "energy"
    assert ENERGY.stem(EnergyArguments(split="validation")) == "energy-validation"


def test_the_flag_for_costs_is_repeated(run, capsys):
    assert cli.main(["energy", str(run), "--costs", "neuromorphic", "--costs", "digital-45nm", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [*told["costs"]] == told["arguments"]["costs"] == ["neuromorphic", "digital-45nm"]
    assert told == json.loads((run / "energy.json").read_text())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--steps", "0"], "--steps 0: must be a number of steps from 1 to 3"),
        (["--draws", "0"], "--draws must be 1 or more, got 0"),
        (["--costs", "digital-45"], "did you mean 'digital-45nm'"),
    ],
)
def test_wrong_flags_are_usage_errors(run, flags, message, capsys):
    assert cli.main(["energy", str(run), *flags]) == 2
    assert message in capsys.readouterr().err
