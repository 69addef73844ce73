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


def test_where_it_goes_on_and_what_is_other_there():
    assert said({}) == ["resuming in epoch 2 of 3, after update 7"]
    assert len(said({}, done=3)) == 1
    lines = said({"train.epochs": (3, 10)}, epochs=10, done=3)
    assert lines[0].startswith("train.epochs is 10")
    assert lines[1].endswith(": 0.3, 0.3, 0.03, 0.03, 0.003, 0.003, 0.0003")
    assert "17.2 in epoch 3, update 5" in describe_jump(StepRecord(2, 4, 17.25, 3, 12, 0.1, 60, tuple(range(12))))
    machine, _ = said({}, then={"threads": 99, "device": "cuda:0"})
    assert f"device is cpu, it was cuda:0, threads is {torch.get_num_threads()}, it was 99" in machine


def test_new_rates_are_those_of_ones_own_optimizer():
    recipe, model = tiny.recipe(train={"epochs": 3}), build()
    own = torch.optim.SGD(model.parameters(), lr=0.01)
    session = Session(model, SampleLoader(data(), 10), epochs=3, method=recipe.train, optimizer=own)
    facts = {"epochs_done": 2, "machine": machine_facts(session)}
    (_, rates, *_) = resume_notices({"train.epochs": (2, 3)}, recipe, facts, session)
    assert rates.text.endswith(f": {0.01 * session.rates.factor(2, 0):.3g}")


@each_row(
    ("accuracy", "images", "classes", "told"),
    [
        (0.1089, 10_000, 10, True),  # chance is 10 %, three standard deviations more are 10.9 %
        (0.1091, 10_000, 10, False),
        (0.02, 10_000, 10, True),  # worse than chance is not better
        (1.0, 10_000, 1, False),  # one class has nothing to learn
        (0.1, 1_000, 10, True),
        (0.1, 999, 10, False),  # few images say nothing about chance
    ],
)
def test_an_epoch_that_learned_nothing_is_told(accuracy, images, classes, told):
    epoch = EpochResult(2, 2.303, accuracy, None, 0.1, 7, 1.0, False, {}, {}, 4)
    assert bool([*no_better_than_chance(epoch, images, classes)]) == told


NO_MEMORY = "DefaultCPUAllocator: can't allocate memory"


@each_row("error", [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError(NO_MEMORY), RuntimeError("shapes")])
def test_an_error_of_no_memory_says_what_was_asked_for_and_others_are_left_alone(error):
    with pytest.raises(type(error)) as caught, explain_out_of_memory(tiny.recipe()):
        raise error
    notes = getattr(caught.value, "__notes__", [])
    assert [("train.batch_size=20" in note, "network.num_steps=3" in note) for note in notes] == (
        [] if "shapes" in str(error) else [(True, True)]
    )


def test_a_young_average_is_not_called_silent(tmp_path):
    def warnings(average):
        of = tiny.recipe(network={"threshold": 50.0}, train={"epochs": 1, "average": average})
        told = train_run(of, tiny.parts(of), new_run_directory(f"average-{average}", tmp_path))
        return [one.text for one in told if isinstance(one, Notice) and one.text.startswith("warning: layer")]

    assert warnings(0.3)  # three updates forget the initial weights
    assert not warnings(0.9)
    assert [updates_to_forget(average) for average in (0.0, 0.999)] == [0, 2995]
