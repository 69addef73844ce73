"""What a run ran on."""

import json

import torch

from bntt.runs.environment import environment


def test_it_is_json_and_names_the_versions():
    found = json.loads(json.dumps(environment()))
    assert found["torch"].startswith("2.")
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"]
