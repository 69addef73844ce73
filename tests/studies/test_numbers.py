"""What pictures are drawn from."""

from bntt.studies.numbers import column_of, layers_of, mean_rows, measured_runs
from bntt.studies.pictures import Bars, OverTime
from tests.studies.found import small_result

WORDS = {"title": "t", "alt": "a"}


def test_numbers_by_label_and_seed():
    result = small_result({("bntt", 1): 0.9})
    bars = Bars(kind="bars", column="acc", **WORDS)
    assert column_of(result, bars, "acc")["BNTT"] == {0: 80.0, 1: 90.0}
    assert list(column_of(result, bars.model_copy(update={"runs": ["none"]}), "acc")) == ["none"]


def test_runs_without_a_measure_are_left_out():
    result, part = small_result(), OverTime(kind="over-time", **WORDS)
    assert list(measured_runs(result, part)) == ["BNTT", "none"]
    assert measured_runs(result, part.model_copy(update={"measure": "exit"})) == {}


def test_what_one_start_lacks_is_open():
    assert mean_rows([[None], [1.0]]) == [None]


def test_layers_are_means_over_starts():
    def start(value):
        return {"steps": [{"layer": "a", "x": value}, {"layer": "a", "x": 2.0}, {"layer": "b", "x": None}]}

    assert layers_of([start(1.0), start(3.0)], "x") == {"a": [2.0, 2.0]}
