"""What is printed, as a reader sees it."""

import torch

from bntt.analysis import Accuracy, Activity, Evaluation, GammaProfile
from bntt.cli import show
from bntt.experiments.run import EpochResult, RunResult
from bntt.training import StepRecord


def outcome(steps):
    row = torch.linspace(0, 1, steps)
    accuracy = Accuracy(1000, (tuple([500] * (steps - 1) + [860]), tuple([520] * (steps - 1) + [870])))
    activity = Activity(2000, {"conv1": row.unsqueeze(1) * 2000}, {"conv1": 1})
    return RunResult(7, Evaluation(accuracy, activity), GammaProfile({"conv1": row}, {"conv1": row}))


def test_a_result_says_accuracy_spread_interval_gamma_and_rates(capsys):
    show.result(outcome(5))
    text = capsys.readouterr().out
    assert "test accuracy 86.5% ± 0.7% (sd over 2 Poisson seeds; 95% interval for 1,000 images 84.2% to 88.5%)" in text
    assert "epoch 8" in text
    for title in ("accuracy if stopped after step", "mean |γ| at step", "firing rate at step"):
        assert title in text
    assert "51.0%" in text
    assert "0.25" in text


def test_many_steps_are_cut_to_the_screen(capsys):
    show.result(outcome(30))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[2:])) <= show.console.width
    assert sum("conv1" in line for line in lines) > 2


def test_training_prints_a_line_an_epoch_without_a_terminal(capsys):
    records = [
        StepRecord(0, 0, 2.0, 1, 10, 0.3),
        EpochResult(0, 2.0, 0.1, 0.2, 0.3, 5.0, True),
        StepRecord(1, 0, 1.0, 1, 10, 0.3),
        EpochResult(1, 1.0, 0.5, 0.6, 0.03, 10.0, True),
    ]
    show.training(records, epochs=2, images=10)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "epoch 1/2  loss 2.000  train 10.0%  validation 20.0%  lr 0.3  5 s, 5 s left",
        "epoch 2/2  loss 1.000  train 50.0%  validation 60.0%  lr 0.03  10 s, 0 s left",
    ]


def test_progress_passes_the_count_on():
    with show.progress("testing", 10) as advance:
        advance(3)
