"""The record of an evaluation: its numbers, what is left out of pictures, and what it refuses."""

import pytest

from bntt.analysis.accuracy import EVALUATE, EvaluateArguments, EvaluationResult, spans
from bntt.analysis.result import result_from
from bntt.charts.records import HeatMap

VALUES = {
    "dataset": "made", "split": "test", "epoch": 7, "images": 1000, "draws": 2, "accuracy": 0.865,
    "accuracy_sd_over_draws": 0.00707, "accuracy_wilson_95": [0.842, 0.885], "accuracy_per_draw": [0.86, 0.87],
    "accuracy_over_time": [0.51, 0.865], "gamma_magnitude": {"conv1": [0.25, 0.5, 9.0]},
    "gamma_signed": {"conv1": [-0.25, 0.5, 9.0]}, "firing_rate": {"conv1": [0.1, float("nan")]},
    "spikes_per_image": 2336.4,
}  # fmt: skip
ONE_DRAW = {"draws": 1, "accuracy_sd_over_draws": None, "accuracy_per_draw": [0.865]}
CONVERTED = {
    "ann": {"run": "ann", "epoch": 3, "validation_accuracy": 0.9, "weights_sha256": "", "updates": 1234, "seconds": 61},
    "thresholds": {"conv1": 1.5}, "scale": 0.7, "tried": [[1.0, 0.5]], "tried_images": 30, "images": 512, "steps": 250,
    "seconds": 5.0,
}  # fmt: skip


def record(**values):
    return result_from(EvaluationResult, VALUES | values)


def words(**values):
    return "\n".join(record(**values).section().words)


def test_words_have_the_numbers():
    made = {"trained_steps": 3, "steps": 2, "how": "re-estimate", "samples": 900, "warning": "γ is near 0"}
    converted = {"images_of": 5000, "updates": 0, "seconds": 5.0, "conversion": CONVERTED, "is_trained": False}
    for values, said in (
        ({}, ("86.5% ± 0.7%", "84.2% to 88.5%", "epoch 8", "2,336 spikes")),
        (ONE_DRAW, ("86.5% (one noise draw",)),
        (ONE_DRAW | {"is_random": False}, ("86.5% (one pass",)),
        (converted, ("converted", "1,000 of the 5,000", "1,234 updates in 61 s")),
        ({"is_trained": False}, ("imported",)),
        ({"updates": 70, "seconds": 5.0}, ("70 updates in 5 s",)),
        ({"arguments": {"exit": True}}, ("stopped after 2 steps",)),
        ({"recalibrated_on": 900}, ("statistics measured again, on 900",)),
        ({"retimed": made}, ("trained with 3 steps, measured with 2", "900", "γ is near 0")),
        ({"firing_rate": {}}, ("an ANN",)),
    ):
        assert not [one for one in said if one not in words(**values)], values
    assert "2 steps by re-estimate" in record(retimed=made).title


def test_steps_that_were_not_run_and_what_is_no_number_are_left_out():
    found, rows = record(), {f"conv{i}": [0.1, 0.2, 0.3] for i in range(11)}
    accuracy, gamma, rate = found.section().charts
    assert (list(gamma.lines[0].y), list(rate.lines[0].y)) == ([0.25, 0.5], [0.1, None])
    assert accuracy.lines[0].low[1] == pytest.approx(0.842, abs=1e-3)
    keys = ("gamma_magnitude.conv1", "gamma_signed.conv1", "firing_rate.conv1")
    assert found.rows()[0] == {"step": 1, "accuracy": 0.51} | dict(zip(keys, (0.25, -0.25, 0.1), strict=True))
    _, gamma, _ = record(gamma_magnitude=rows, firing_rate=rows).section().charts
    assert isinstance(gamma, HeatMap), "many layers are colours"
    assert gamma.values[0] == [0.1, 0.2]
    assert len(record(gamma_magnitude={}, gamma_signed={}, firing_rate={}).section().charts) == 1


def test_numbers_of_studies():
    found = record(updates=70)
    assert {name: metric.read(found, 1) for name, metric in found.metrics().items()} == {
        "accuracy": 86.5, "accuracy-after": 51.0, "steps": 2, "spikes": 2336.4, "updates": 70, "retimed-accuracy": 86.5,
        "gamma-floor": None,
    }  # fmt: skip
    assert found.metrics()["accuracy-after"].read(found, 3) is None


def test_a_file_that_is_none_is_refused():
    for wrong, key in (
        ({"firing_rate": {"conv1": [0.1]}}, "firing_rate"),
        ({"accuracy_over_time": []}, "accuracy_over_time"),
        ({"images": 0}, "images"),
    ):
        with pytest.raises(ValueError, match=key):
            record(**wrong)


def test_numbers_of_another_kind_have_files_of_their_own():
    for asked, stem in (
        ({}, "evaluation"),
        ({"draws": 9}, "evaluation"),
        ({"split": "validation"}, "evaluation-validation"),
        ({"num_steps": 5}, "evaluation-5-steps-truncate"),
        ({"num_steps": 16, "longer": "hold", "split": "validation"}, "evaluation-validation-16-steps-hold"),
        ({"images": 20, "exit": True}, "evaluation-exit-20-images"),
        ({"recalibrate": True, "split": "validation"}, "evaluation-validation-recalibrated"),
    ):
        assert EVALUATE.stem(EvaluateArguments(**asked)) == stem
        assert EVALUATE.record_in(stem) is EvaluationResult
        assert record(arguments=asked).arguments == EvaluateArguments(**asked)


def test_steps_are_said_in_spans():
    for steps, text in (
        ([3], "step 4"),
        ([0, 1, 3, 4, 5, 9], "steps 1-2, 4-6, 10"),
        (range(0, 20, 2), "steps 1, 3, 5, 7, ..."),
    ):
        assert spans(steps) == text
