"""What a training or a measurement will cost, before it begins; and the largest batch for a limit of memory."""

import math
import re
import time

import pytest

import bntt
from bntt.cli import main as cli
from bntt.data.samples import DATASETS
from bntt.io.memory import resident
from bntt.runs.directory import RunDirectory
from bntt.runs.recipe.build import build_data, build_model, noise_as_published
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training import estimate
from bntt.runs.training.estimate import (
    Clock,
    bytes_of,
    estimate_training,
    fastest_update,
    largest_batch,
    modelled,
    propose_batch,
    spoken,
    time_left,
    update_seconds,
)
from bntt.runs.training.start import build_session
from bntt.training.processes import Processes
from tests.rows import each_row
from tests.runs.tiny import parts, recipe
from tests.trained import trained_run

SMALL = ["network.width=0.125", "network.num_steps=8", "evaluate.batch_size=10"]


def test_a_training_is_estimated_by_a_model_or_by_updates_of_its_own(tmp_path, capsys):
    of = recipe(train={"epochs": 2, "lr": 0.3})
    model, own = modelled(of, parts(of), build_model(of, parts(of))), estimate_training(of, parts(of))
    assert model.updates == own.updates == RunDirectory(trained_run().path).training_cost()["updates"]
    assert min(model.seconds, own.seconds) > 0
    assert 50 << 20 < own.peak_bytes < resident("VmHWM") + (4 << 30)  # of the process, with the tests before
    small = [part for setting in (*SMALL, "train.epochs=3") for part in ("-s", setting)]
    assert cli.main(["train", "demo", *small, "--estimate", "--root", str(tmp_path)]) == 0
    assert "300 updates, about" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@each_row("name", ["cifar10", "dvs-cifar10"])
def test_a_training_is_estimated_before_its_data_is_here(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path))
    small = ["-s", "network.width=0.0625", "-s", "network.num_steps=2", "-s", "train.batch_size=8"]
    assert cli.main(["train", name, *small, "--estimate"]) == 0
    said = capsys.readouterr().out
    assert "noise, in the published number and size" in said
    data = noise_as_published(load_recipe(name, small[1::2]))
    assert (len(data.train) + len(data.validation), len(data.test)) == DATASETS[name].samples
    assert f"{load_recipe(name).train.epochs * math.ceil(len(data.train) / 8):,} updates" in said
    assert not list(tmp_path.iterdir())


def test_more_threads_shorten_no_updates_fixed_part():
    network = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=2)
    shared = [update_seconds(network, (2, 5, 4), 5, threads) - estimate.FIXED for threads in (1, 2)]
    assert shared[0] == pytest.approx(2 * shared[1])
    assert shared[1] > 0


def test_the_time_left_counts_growing_epochs_seldom_validation_and_the_test():
    of = recipe(train={"epochs": 4, "grow": [[1, 2]]}, evaluate={"draws": 2, "every": 3}, network={"num_steps": 2})
    data = parts(of)  # 60 samples to train on and to test, 3 updates an epoch; two epochs take one step of two
    assert time_left(of, data, 2.0, sample=0.0) == 3 + 3 + 6 + 6
    assert time_left(of, data, 0.0, sample=1.0) == 2 * len(data.validation) + 2 * data.manifest.images["test"]
    session = build_session(of, data, Processes())
    fastest_update(session, 0)
    assert session.grown, "time is that of all steps"


def test_a_lap_is_without_the_time_that_others_had_the_processor():
    clock = Clock()
    time.sleep(0.2)
    assert clock.lap() < 0.1


def test_times_are_said_in_a_unit_that_fits():
    said = ["less than 0.1 seconds", "about 0.2 seconds", "about 90 seconds", "about 10.0 minutes", "about 2.5 hours"]
    assert [spoken(seconds) for seconds in (0.01, 0.25, 90, 600, 9000)] == said


STRAIGHT, FLAT, STEEP = "straight", "flat at first", "killed above 300"


def peaks(kind, tried):
    def peak_of(size):
        tried.append(size)
        updates = {STRAIGHT: 100 + 3 * size, FLAT: 100 + 5 * max(size, 40), STEEP: 100 + size}[kind]
        updates = math.inf if kind == STEEP and size > 300 else updates
        return updates, max(updates, 110)

    return peak_of


@each_row("kind", [STRAIGHT, FLAT, STEEP])
def test_the_largest_fits_a_larger_does_not_and_more_memory_takes_more(kind):
    last = 0
    for limit in (330, 500, 1_000, 5_000, 10_000):
        tried = []
        size, peak = largest_batch(peaks(kind, tried), limit, smallest=1, most=900)
        assert size >= last
        assert peaks(kind, [])(size)[1] == peak <= limit
        larger = math.ceil(size * (1 + estimate.NEAR)) + 1
        assert size == 900 or peaks(kind, [])(larger)[1] > limit
        assert kind != STRAIGHT or max(tried) <= (limit - 100) / 3, "what the line does not allow"
        assert len(tried) < 16
        last = size
    assert 294 <= last <= 300 if kind == STEEP else last == 900


@pytest.mark.slow
def test_the_proposed_batch_fits_and_twice_it_does_not():
    recipe = load_recipe("demo", SMALL)
    data, (_, least) = build_data(recipe), estimate._peaks_apart(estimate._with_batch(recipe, 2), "cpu")
    limit = least + (24 << 20)
    size = int(re.match(r"-s train\.batch_size=(\d+) ", propose_batch(recipe, data, limit))[1])
    assert 2 < size < len(data.train) / 2
    (_, fits), (_, twice) = (estimate._peaks_apart(estimate._with_batch(recipe, n), "cpu") for n in (size, 2 * size))
    assert fits <= limit * 1.02
    assert limit < twice


def test_an_odd_number_of_samples_is_not_split_into_one_image(monkeypatch):
    tried = []
    monkeypatch.setattr(estimate, "largest_batch", lambda *arguments: tried.append(arguments[2]) or (9, 1.0))
    for images, least in ((500, 2), (501, 3)):
        recipe = load_recipe("demo", [*SMALL, f"data.images={images}"])
        data = build_data(recipe)
        propose_batch(recipe, data, 1.0)
        assert tried.pop() == least == 2 + len(data.train) % 2


def test_a_limit_that_is_none_too_small_or_not_known_is_refused(monkeypatch):
    for text in ("", "8 apples", "0", "-1GiB", "1e9", "8i", "8ib"):
        with pytest.raises(RecipeError, match="--fit-batch"):
            bytes_of(text)
    with pytest.raises(MemoryError, match="a batch of 2"):
        largest_batch(peaks(STRAIGHT, []), 100, smallest=2, most=900)
    monkeypatch.setattr(estimate, "available_memory", lambda device: math.inf)  # as on macOS
    recipe = load_recipe("demo", SMALL)
    with pytest.raises(RecipeError, match="--fit-batch"):
        propose_batch(recipe, build_data(recipe))
