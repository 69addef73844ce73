"""What a run ran on."""

import json

from bntt.runs.environment import environment


def test_it_is_json_and_names_the_versions():
    found = json.loads(json.dumps(environment()))
    assert found["torch"].startswith("2.")
    assert found["threads"] == 1
    assert found["processor"]
