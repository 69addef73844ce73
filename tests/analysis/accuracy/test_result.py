"""The record of an evaluation: its words, tables, charts and numbers by hand, and kept files that it reads."""

import json

import pytest

from bntt.analysis.accuracy import EVALUATE, EvaluateArguments, EvaluationResult, Retiming, UnvaryingInput
from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import checked_arguments, result_from
from bntt.charts.records import HeatMap, Lines
from tests.evidence import RESULTS

KEPT = sorted(RESULTS.glob("**/evaluation*.json"))
VALUES = {
    "dataset": "made",
    "split": "test",
    "epoch": 7,
    "images": 1000,
    "draws": 2,
    "accuracy": 0.865,
    "accuracy_sd_over_draws": 0.00707,
    "accuracy_wilson_95": [0.842, 0.885],
    "accuracy_per_draw": [0.86, 0.87],
    "accuracy_over_time": [0.51, 0.865],
    "gamma_magnitude": {"conv1": [0.25, 0.5, 9.0]},
    "gamma_signed": {"conv1": [-0.25, 0.5, 9.0]},
    "firing_rate": {"conv1": [0.1, float("nan")]},
    "spikes_per_image": 2336.4,
}
CONVERTED = {
    "ann": {
        "run": "runs/ann",
        "epoch": 3,
        "validation_accuracy": 0.9,
        "weights_sha256": "0",
        "updates": 1234,
        "seconds": 61.0,
    },
    "thresholds": {"conv1": 1.5},
    "scale": 0.7,
    "tried": [[1.0, 0.5]],
    "tried_images": 30,
    "images": 512,
    "steps": 250,
    "seconds": 5.0,
}
ONE_DRAW = {"draws": 1, "accuracy_sd_over_draws": None, "accuracy_per_draw": [0.865]}


def record(**values):
    return result_from(EvaluationResult, VALUES | values)


def words(**values):
    return "\n".join(record(**values).section().words)


def test_words_say_accuracy_with_spread_and_interval_epoch_and_spikes():
    text = words()
    assert "test accuracy 86.5% ± 0.7% (sd over 2 noise draws; 95% interval for 1,000 images 84.2% to 88.5%)" in text
    assert "epoch 8" in text
    assert "2,336 spikes per image in all layers and steps" in text
    assert "stratified" not in text


def test_the_spread_of_one_draw_is_not_known():
    assert "86.5% (one noise draw, the spread over others is not known; 95% interval for" in words(**ONE_DRAW)
    assert "86.5% (one pass; 95% interval for" in words(**ONE_DRAW, is_random=False)


def test_words_say_what_the_weights_cost():
    text = words(images_of=5000, updates=0, seconds=5.0, conversion=CONVERTED, is_trained=False)
    for said in (
        "converted",
        "1,000 of the 5,000 images, stratified by class",
        "no updates; converted in 5 s",
        "before that, the ANN: 1,234 updates in 61 s",
        "0.7 times the largest weighted input, chosen on validation (512 training images, 250 steps)",
    ):
        assert said in text
    assert "imported" in words(is_trained=False)
    assert "70 updates in 5 s, with validation" in words(updates=70, seconds=5.0)


def test_words_say_where_it_stopped():
    assert "stopped after 2 steps" in words(arguments={"exit": True})
    made = {"trained_steps": 3, "steps": 2, "how": "hold", "warning": "γ is near 0"}
    assert "trained with 3 steps, measured with 2: hold\nwarning: γ is near 0" in words(retimed=made)
    assert record(retimed=made).title == "made, test: 1,000 images, 2 draws; 2 steps by hold"
    anew = Retiming(trained_steps=8, steps=11, how="re-estimate", samples=900)
    assert anew.text == "trained with 8 steps, measured with 11: re-estimate from 900 training samples"


def test_steps_that_were_not_run_and_what_is_no_number_are_left_out():
    found = record()
    accuracy, gamma, rate = found.section().charts
    assert list(gamma.lines[0].y) == [0.25, 0.5]
    assert list(rate.lines[0].y) == [0.1, None]
    assert accuracy.lines[0].low[1] == pytest.approx(0.842, abs=1e-3)
    assert "86.5% ± 0.7% after all steps" in accuracy.note
    assert found.rows()[0] == {
        "step": 1,
        "accuracy": 0.51,
        "gamma_magnitude.conv1": 0.25,
        "gamma_signed.conv1": -0.25,
        "firing_rate.conv1": 0.1,
    }
    (row,) = found.section().tables[0].rows
    assert [cell.text for cell in row] == ["test", "86.5%", "84.2% to 88.5%", "0.71%", "1,000", "2", "2", "2,336"]


def test_many_layers_are_colours():
    rows = {f"conv{i}": [0.1, 0.2, 0.3] for i in range(11)}
    _, gamma, rate = record(gamma_magnitude=rows, firing_rate=rows).section().charts
    assert isinstance(gamma, HeatMap)
    assert gamma.values[0] == rate.values[0] == [0.1, 0.2]
    assert isinstance(record(gamma_magnitude=dict(list(rows.items())[:10])).section().charts[1], Lines)


def test_an_ann_has_no_rates():
    section = record(gamma_magnitude={}, gamma_signed={}, firing_rate={}).section()
    assert "an ANN: nothing in it spikes" in section.words
    assert len(section.charts) == 1
    assert "spikes per image" not in " ".join(section.words)


FIRST = {"index": 17, "step": 0, "gain": 2.5, "current": [3.0, 1.5], "spikes": [1234.0, 900.0], "answer": [3, 4]}
UNVARYING = {"steps": [0, 1], "training_samples": 60, "samples": 50, "differ": 1, "first": FIRST}


def test_input_that_never_varied_in_training_is_told():
    assert words(unvarying_input=UNVARYING).endswith(
        "the input of steps 1-2 never varies in the 60 training samples; 1 of the 50 measured differ there. "
        "The first, sample 17 at step 1: the first layer's largest current is 3 in place of 1.5, by a gain of up to "
        "2.5; 1,234 spikes in all in place of 900; class 3 in place of 4"
    )
    same = UnvaryingInput.model_validate(
        UNVARYING | {"first": FIRST | {"answer": [3, 3], "current": [float("nan"), 1]}}
    )
    assert "current is – in place of 1," in same.text
    assert same.text.endswith("class 3 in place of 3")
    none = UnvaryingInput.model_validate(UNVARYING | {"steps": [*range(20)], "differ": 0, "first": None})
    assert "the input of steps 1-20 " in none.text
    assert none.text.endswith("0 of the 50 measured differ there")


def test_numbers_of_studies():
    found = record(updates=70)
    read = {name: metric.read(found, 1) for name, metric in found.metrics().items()}
    assert read == {
        "accuracy": 86.5,
        "accuracy-after": 51.0,
        "steps": 2,
        "spikes": 2336.4,
        "updates": 70,
        "retimed-accuracy": 86.5,
        "gamma-floor": None,
    }
    assert found.metrics()["accuracy-after"].read(found, 3) is None


def test_a_file_that_is_none_is_refused():
    for wrong, message in (
        ({"firing_rate": {"conv1": [0.1]}}, "firing_rate has a layer of fewer steps than accuracy_over_time"),
        ({"accuracy_over_time": []}, "accuracy_over_time"),
        ({"images": 0}, "images"),
    ):
        with pytest.raises(ValueError, match=message):
            record(**wrong)


def test_arguments_are_read_back():
    assert record(arguments={"num_steps": 16, "longer": "hold"}).arguments == EvaluateArguments(
        num_steps=16, longer="hold"
    )


def test_numbers_of_another_kind_have_files_of_their_own():
    for asked, stem in (
        ({}, "evaluation"),
        ({"draws": 9}, "evaluation"),
        ({"split": "validation"}, "evaluation-validation"),
        ({"exit": True}, "evaluation-exit"),
        ({"num_steps": 5}, "evaluation-5-steps-truncate"),
        (
            {"num_steps": 16, "longer": "re-estimate", "split": "validation"},
            "evaluation-validation-16-steps-re-estimate",
        ),
        ({"images": 20, "exit": True}, "evaluation-exit-20-images"),
    ):
        assert EVALUATE.stem(EvaluateArguments(**asked)) == stem
        assert EVALUATE.record_in(stem) is EvaluationResult


def test_flags_that_exclude_each_other():
    for asked, message in (
        ({"exit": True, "num_steps": 3}, "--exit and --num-steps both say when to stop: pass only one of them"),
        ({"longer": "hold"}, "--longer hold needs a number of steps: --num-steps"),
        ({"draws": 0}, "--draws must be 1 or more, got 0"),
        ({"images": 0}, "--images must be 1 or more, got 0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            checked_arguments(EvaluateArguments, asked)


def test_kept_files_are_read_whole():
    assert KEPT
    for path in KEPT:
        values = json.loads(path.read_text())
        found = result_from(EvaluationResult, values)
        assert found.to_json() == values, path
        assert found.section().words, path
