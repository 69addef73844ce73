"""Kinds of measures: what they ask of the command line, which parses it, and how they are kept."""

from pathlib import Path

import pytest

from bntt.cli.main import VERBS
from bntt.experiments.recipe import load_recipe
from bntt.experiments.study.measures import MEASURES, Attack, Exit, Measure, Retiming, Robust, Stability, takes


def made(kind):
    more = {"retiming": {"steps": 4}}.get(kind, {})
    return MEASURES[kind].model_validate({"kind": kind, **more})


@pytest.mark.parametrize("kind", MEASURES)
def test_every_kind_is_a_verb_of_the_command_line(kind):
    verb, first, *rest = made(kind).command(Path("runs/x"), load_recipe("demo"))
    assert verb in VERBS
    assert first.startswith("runs/x")
    assert made(kind).written().endswith(".json")
    assert all(isinstance(word, str) for word in rest)


def test_the_file_is_of_kind_and_arguments():
    assert Exit(kind="exit").file != Exit(kind="exit", loss=1.0).file
    assert Exit(kind="exit").file == Exit(kind="exit", loss=0.5).file
    assert Exit(kind="exit").file.startswith("measures/exit-")


def test_arguments_reach_the_command():
    demo, ann = load_recipe("demo"), load_recipe("fashion-mnist-ann")
    asked = Robust(kind="robust", sigmas=[0.1, 0.4], images=7, draws=2).command(Path("r"), demo)
    assert asked == ["robust", "r", "--images", "7", "--draws", "2", "--sigmas", "0.1", "0.4"]
    attack = Attack(kind="attack", eps=[8], images=5, eot=3)
    assert attack.command(Path("r"), demo)[-2:] == ["--eot", "3"]
    assert "--eot" not in attack.command(Path("r"), ann), "an ANN draws nothing"
    assert Retiming(kind="retiming", steps=16, longer="hold").written() == "evaluation-16-steps-hold.json"
    stability = Stability(kind="stability").command(Path("r"), load_recipe("demo", ["network.norm=tab"]))
    assert stability[:4] == ["stability", "r/recipe.toml", "--norms", "tab"]


def test_numbers_of_a_verb_count_where_they_say_that_they_were_asked_for_alike():
    chosen = {"chosen_on": "validation", "split": "test", "loss_allowed": 0.005}
    assert Exit(kind="exit").was_asked(chosen)
    assert not Exit(kind="exit", loss=1.0).was_asked(chosen)
    assert not Exit(kind="exit").was_asked({**chosen, "chosen_on": "stated"})
    assert not Robust(kind="robust").was_asked({"split": "test"})
    assert not made("activity").was_asked({"split": "validation"})
    assert made("drift").was_asked({"split": "validation"})
    assert made("equivalence").was_asked({"split": "validation", "images": 1000})


def test_what_a_network_can_be_measured_by():
    assert not takes("exit", is_ann=False, norm="bn")
    assert takes("exit", is_ann=False, norm="bntt-beta")
    assert takes("energy", is_ann=True, norm="none")
    assert not takes("drift", is_ann=False, norm="layer")
    assert takes("activity", is_ann=False, norm="none")


def test_a_bare_measure_has_no_command():
    with pytest.raises(NotImplementedError):
        Measure(kind="x").command(Path(), load_recipe("demo"))
