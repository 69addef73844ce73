"""The paper's numbers: each belongs to a cell of a study and has a source; what was not seen is not available."""

import pytest

from bntt.studies.metrics import metric_of
from bntt.studies.published import paper_cell, published
from bntt.studies.study_file import load_study


@pytest.mark.parametrize("key", published(), ids=".".join)
def test_every_number_is_of_a_study_run_and_column(key):
    study, run, column = key
    found = load_study(study)
    assert run in [one.name for one in found.runs_at("paper")]
    columns = {one.key: one for one in found.table if one.shown}
    assert column in columns
    assert len(published()[key].source) > 10
    if metric_of(columns[column].metric).metric.unit == "%":
        assert 1 < published()[key].value <= 100


def test_what_was_not_seen_is_not_available():
    assert paper_cell("table-5", "layer", "accuracy") == {"missing": "not available"}
    assert paper_cell("table-1", "tiny-bntt", "accuracy") == {"missing": "not available"}
    assert paper_cell("mine", "a", "b") == {"missing": "not available"}
    assert paper_cell("table-1", "cifar10-bntt", "accuracy")["value"] == 90.5
