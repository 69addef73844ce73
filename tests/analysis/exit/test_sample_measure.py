"""Samples of a run that leave by themselves: counted, timed, and told with names."""

import pytest

from bntt.analysis.exit.measurement import ExitArguments
from bntt.analysis.exit.sample_exit import CRITERIA
from bntt.analysis.exit.sample_measure import measure_sample_exit
from bntt.analysis.measurement import Progress
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run


def test_a_run_by_every_criterion(tmp_path):
    run, progress = load_run(small_run(tmp_path).path), Progress()
    asked = ExitArguments(loss=10, split="validation", draws=1, per_sample=True)
    found = measure_sample_exit(run, asked, progress)
    images, stops = len(run.data.validation), {row.alike_steps for row in found.criteria}
    assert progress.done == progress.total == (1 + 2 + 2 * len(CRITERIA) + len(stops)) * images
    assert tuple(row.criterion for row in found.criteria) == CRITERIA
    for row in found.criteria:
        assert 0 <= row.validation_lost <= 0.1 + 1e-9
        assert row.validation_accuracy == pytest.approx(found.whole_accuracy - row.validation_lost)
        assert row.alike_validation_accuracy >= row.validation_accuracy - 1e-9
        assert row.alike_validation_accuracy == found.accuracy_over_time[row.alike_steps - 1]
        assert min(row.seconds, row.alike_seconds, row.spikes_per_image) > 0
        assert 0 < row.additions_per_image <= found.whole_additions_per_image
        leave = found.leave_after_step[row.criterion]
        assert sum(leave) == pytest.approx(1)
        assert sum(t * share for t, share in enumerate(leave, 1)) == pytest.approx(row.mean_steps)
    assert not any("test" in key for key in found.rows()[0])
