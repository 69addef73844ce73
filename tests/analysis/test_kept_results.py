"""Kept results of drift, exit, energy, robustness, attacks, equivalence and neurons: read whole by today's records."""

import json

import pytest

from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import result_from
from tests.evidence import RESULTS

NAMES = ("drift", "exit", "energy", "robust", "attack", "equivalence", "neuron")


@pytest.mark.parametrize("name", NAMES)
def test_kept_results_are_read_whole(name):
    paths = [path for where in ("*/", "*/measures/") for path in RESULTS.glob(f"{where}{name}*.json")]
    assert paths
    for path in sorted(paths):
        values = json.loads(path.read_text())
        values = values.get("values", values)
        record = MEASUREMENTS[name].record_in(path.stem if path.parent.name != "measures" else name)
        found = result_from(record, values)
        written = json.loads(json.dumps(found.to_json()))
        values.get("arguments", {}).pop("choose_on", None)  # an argument of older files, which had one value
        assert {key: written[key] for key in values} == values, path
        assert not any(written[key] for key in written.keys() - values.keys()), path
        assert found.section().charts, path
