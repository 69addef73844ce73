"""The number under which results are kept."""

import json

from bntt.runs.environment import NUMERICS, numerics_of, write_environment


def test_it_is_written_with_every_run(tmp_path):
    write_environment(tmp_path, 0, {})
    assert numerics_of(json.loads((tmp_path / "environment.json").read_text())) == NUMERICS


def test_results_from_before_it_are_the_first():
    assert numerics_of({}) == 1


def test_nonsense_agrees_with_nothing():
    assert numerics_of({"numerics": "1"}) == 0
    assert numerics_of({"numerics": True}) == 0
