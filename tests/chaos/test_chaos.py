"""The places are there, and a run that is stopped at some of them ends as one that was left alone."""

import subprocess
import sys
from functools import partial

import pytest

from tests.chaos.child import finished
from tests.chaos.stops import CODES, PLACES, STRIKES, strikes_at
from tests.chaos.whole import SMALL, WAYS


def test_a_run_comes_to_every_place(tmp_path):
    recipe, came = tmp_path / "run.toml", tmp_path / "came"
    recipe.write_text(SMALL.replace("WAY", WAYS["the paper's"]), encoding="utf-8")

    def note(name):
        with open(came, "a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    def trap_all():
        for place in PLACES:
            place.trap(partial(note, place.name))

    assert finished(["train", str(recipe), "--root", str(tmp_path)], tmp_path / "log", trap_all) == 0
    assert sorted(came.read_text(encoding="utf-8").splitlines()) == sorted(place.name for place in PLACES)


def test_every_strike_has_its_exit_codes():
    for place in PLACES:
        assert set(strikes_at(place)) <= STRIKES.keys() == CODES.keys()


def test_there_are_enough_kinds_of_stops():
    assert sum(len(strikes_at(place)) for place in PLACES) >= 4 * 28
    assert len({place.name for place in PLACES}) == len(PLACES)


def test_a_trap_comes_with_its_call(monkeypatch):
    place, came = PLACES[0], []
    monkeypatch.setattr(place.owner, place.function, lambda: came.append("real"))
    place.trap(lambda: came.append("struck"))
    for _ in range(2):
        getattr(place.owner, place.function)()
    assert came == ["struck", "real", "real"]


@pytest.mark.slow
@pytest.mark.parametrize("places", ["between two updates", "midst of a validation", "keeping the epoch"])
def test_stops_of_every_kind(places):
    """In the paper's way of training; ``make chaos`` takes all ways."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "stops", "--ways", "1", "--places", places],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_kills():
    command = [sys.executable, "-m", "tests.chaos", "kills", "--kills", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
