"""What a run ran on, and the number under which its results are kept."""

import json

import torch

from bntt.runs.environment import NUMERICS, numerics_of, write_environment


def test_it_is_json_and_names_the_versions(tmp_path):
    write_environment(tmp_path, 0, {"more": 3})
    found = json.loads((tmp_path / "environment.json").read_text())
    assert (found["torch"], found["threads"], found["more"]) == (torch.__version__, torch.get_num_threads(), 3)
    assert found["processor"]
    assert numerics_of(found) == NUMERICS


def test_results_from_before_it_are_the_first_and_nonsense_agrees_with_nothing():
    assert [numerics_of(found) for found in ({}, {"numerics": "1"}, {"numerics": True})] == [1, 0, 0]
