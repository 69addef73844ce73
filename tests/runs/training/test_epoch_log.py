"""What is said of a run that goes on, and of a loss that jumps."""

import pytest
import torch

from bntt.data import SampleLoader
from bntt.runs.directory import new_run_directory
from bntt.runs.training.epoch_log import (
    EpochResult,
    Notice,
    describe_jump,
    explain_out_of_memory,
    machine_facts,
    no_better_than_chance,
    resume_notices,
    updates_to_forget,
)
from bntt.runs.training.train import train_run
from bntt.training import Session, StepRecord
from tests.rows import each_row
from tests.runs import tiny
from tests.training.test_fit import build, data


def said(changed, *, done=1, then={}, **train):  # noqa: B006
    recipe = tiny.recipe(train=train)
    session = Session(build(), SampleLoader(data(), 10), epochs=recipe.train.epochs, method=recipe.train)
    session.position.updates = 7
    facts = {"epochs_done": done, "machine": {**machine_facts(session), **then}}
    found = list(resume_notices(changed, recipe, facts, session))
    assert all(isinstance(notice, Notice) for notice in found)
    return [notice.text for notice in found]


def test_where_it_goes_on():
    assert said({}) == ["resuming in epoch 2 of 3, after update 7"]
    assert said({}, done=3) == ["all 3 epochs are done: there is nothing to train"]


def test_more_epochs_print_the_new_rates():
    lines = said({"train.epochs": (3, 10)}, epochs=10, done=3)
    assert lines[0] == "train.epochs is 10 from here on, it was 3"
    assert lines[1] == "rates from epoch 4 on: 0.3, 0.3, 0.03, 0.03, 0.003, 0.003, 0.0003"
    recipe, model = tiny.recipe(train={"epochs": 3}), build()
    own = torch.optim.SGD(model.parameters(), lr=0.01)
    session = Session(model, SampleLoader(data(), 10), epochs=3, method=recipe.train, optimizer=own)
    facts = {"epochs_done": 2, "machine": machine_facts(session)}
    (_, rates, *_) = resume_notices({"train.epochs": (2, 3)}, recipe, facts, session)
    assert rates.text == f"rates from epoch 3 on: {0.01 * session.rates.factor(2, 0):.3g}", "those of the optimizer"


def test_another_machine_is_said():
    (line, _) = said({}, then={"threads": 99, "device": "cuda:0"})
    threads = torch.get_num_threads()
    expected = f"warning: device is cpu, it was cuda:0, threads is {threads}, it was 99: sums may round differently"
    assert line.startswith(expected)


def test_a_jump_names_the_samples():
    record = StepRecord(2, 4, 17.25, 3, 12, 0.1, 60, tuple(range(12)))
    text = (
        "warning: the loss jumped to 17.2 in epoch 3, update 5, with the training samples 0, 1, 2, 3, 4, 5, 6, 7, ..."
    )
    assert describe_jump(record) == text


def epoch(accuracy):
    return EpochResult(2, 2.303, accuracy, None, 0.1, 7, 1.0, False, {}, {}, 4)


def test_an_epoch_that_learned_nothing_is_told():
    """Ten classes, 10,000 images: chance is 10 %, three standard deviations more are 10.9 %."""
    (notice,) = no_better_than_chance(epoch(0.1089), 10_000, 10)
    assert notice.text.startswith(
        "warning: epoch 3 learned nothing: 10.9 % of 10,000 training images are right (by chance 10 %), "
        "the loss is 2.3030 (by chance 2.3026)"
    )
    assert not list(no_better_than_chance(epoch(0.1091), 10_000, 10))
    assert list(no_better_than_chance(epoch(0.02), 10_000, 10)), "worse than chance is not better"
    assert not list(no_better_than_chance(epoch(1.0), 10_000, 1)), "one class has nothing to learn"


def test_few_images_say_nothing_about_chance():
    assert list(no_better_than_chance(epoch(0.1), 1_000, 10))
    assert not list(no_better_than_chance(epoch(0.1), 999, 10))


@each_row(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_an_error_of_no_memory_says_what_was_asked_for(error):
    with pytest.raises(type(error)) as caught, explain_out_of_memory(tiny.recipe()):
        raise error
    (note,) = caught.value.__notes__
    assert note.startswith("a batch of train.batch_size=20 samples with network.num_steps=3 does not fit")


def test_other_errors_are_left_alone():
    with pytest.raises(RuntimeError) as caught, explain_out_of_memory(tiny.recipe()):
        raise RuntimeError("shapes differ")
    assert not hasattr(caught.value, "__notes__")


def test_a_young_average_is_not_called_silent(tmp_path):
    def warnings(average):
        of = tiny.recipe(network={"threshold": 50.0}, train={"epochs": 1, "average": average})
        told = train_run(of, tiny.parts(of), new_run_directory(f"average-{average}", tmp_path))
        return [one.text for one in told if isinstance(one, Notice) and one.text.startswith("warning: layer")]

    assert warnings(0.3)  # three updates forget the initial weights
    assert not warnings(0.9)


def test_a_moving_average_forgets_its_initial_weights():
    assert [updates_to_forget(average) for average in (0.0, 0.999)] == [0, 2995]
