"""Samples that leave by themselves, on a run: counted, timed, and told with names."""

import json

import pytest

from bntt.analysis.exit.sample_exit import CRITERIA
from bntt.runs.measures.exits import Asked
from bntt.runs.open_run import load_run
from bntt.runs.measures.sample_exits import PASSES, sample_exit_json, sample_exit_rows, sample_exit_run
from tests.runs.measured import small_run


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_run(small_run(tmp_path_factory.mktemp("runs")).path)


def test_a_run_by_every_criterion(loaded):
    done = []
    result = sample_exit_run(loaded, Asked(loss=0.1, split="validation"), progress=done.append)
    images = len(loaded.data.validation)
    assert sum(done) == (1 + PASSES) * images
    assert tuple(result.choices) == CRITERIA
    for criterion, choice in result.choices.items():
        assert result.exits[criterion].accuracy == pytest.approx(choice.accuracy)
        assert result.exits[criterion].mean_steps == pytest.approx(choice.mean_steps)
        alike = result.alike[criterion]
        assert alike.accuracy >= choice.accuracy - 1e-9
        assert result.seconds[criterion] > 0
        work = result.operations[criterion]
        assert work.accuracy.mean == pytest.approx(choice.accuracy)
        assert work.spikes() == pytest.approx(float(result.exits[criterion].spikes.sum()))
        assert 0 < work.synaptic().additions <= result.whole_operations.synaptic().additions
    values = json.loads(json.dumps(sample_exit_json(result), allow_nan=False))
    assert values["criteria"] == sample_exit_rows(result)
    assert sum(values["leave_after_step"]["margin"]) == pytest.approx(1)
