"""Kinds of measures: what they ask of the command line, which parses it, and how they are kept."""

from pathlib import Path

import pytest

from bntt.analysis.energy.costs import cost_names, load_costs
from bntt.cli.main import verbs
from bntt.runs.recipe.file import load_recipe
from bntt.studies.measures import MEASURES, Attack, Exit, Measure, Retiming, Robust, Stability, takes


def made(kind):
    more = {"retiming": {"steps": 4}}.get(kind, {})
    return MEASURES[kind].model_validate({"kind": kind, **more})


@pytest.mark.parametrize("kind", MEASURES)
def test_every_kind_is_a_verb_of_the_command_line(kind):
    verb, first, *rest = made(kind).command(Path("runs/x"), load_recipe("demo"))
    assert verb in verbs()
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


EVALUATION = {"split": "test", "epoch": 4, "images": 10000, "draws": 5, "steps": 8, "updates": 4220}
CHOSEN = {"chosen_on": "validation", "split": "test", "loss_allowed": 0.005, "draws": 5, "test_images": 10000}
COSTS = {name: load_costs(name).model_dump() for name in cost_names()}
COUNTED = {"split": "test", "epoch": 4, "images": 10000, "draws": 1, "steps": [8, 5], "costs": COSTS, "is_ann": False}
DRAWN = {"layer": "b", "images": 500}
MOVED = {
    "split": "validation",
    "epoch": 4,
    "images": 6000,
    "layers": {"a": {}, "b": {}, "c": {}},
    "distribution": DRAWN,
}
RETIMED = {**EVALUATION, "steps": 4, "retimed": {"steps": 4, "how": "truncate"}}
KEPT = {
    "exit": CHOSEN,
    "activity": {"split": "test", "images": 10000, "draws": 1},
    "energy": COUNTED,
    "drift": MOVED,
    "equivalence": {"split": "validation", "images": 1000, "epoch": 4},
    "retiming": RETIMED,
}


@pytest.mark.parametrize("kind", KEPT)
def test_numbers_of_a_verb_count_where_they_say_that_they_were_asked_for_alike(kind):
    assert made(kind).was_asked(KEPT[kind], EVALUATION)
    assert made(kind).was_asked(KEPT[kind], {}), "an evaluation that says nothing"


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("exit", {"chosen_on": "stated"}),
        ("exit", {"loss_allowed": 0.01}),
        ("exit", {"draws": 3}),
        ("exit", {"test_images": 500}),
        ("exit", {"num_steps": 4}),
        ("activity", {"split": "validation"}),
        ("activity", {"draws": 2}),
        ("activity", {"images": 100}),
        ("energy", {"draws": 3}),
        ("energy", {"images": 100}),
        ("energy", {"epoch": 2}),
        ("energy", {"steps": [4]}),
        ("energy", {"costs": {"mine": COSTS["digital-45nm"]}}),
        ("energy", {"costs": {**COSTS, "digital-45nm": {**COSTS["digital-45nm"], "mac": 1.0}}}),
        ("energy", {"is_ann": True}),
        ("drift", {"split": "test"}),
        ("drift", {"epoch": 3}),
        ("drift", {"distribution": {"layer": "c", "images": 500}}),
        ("drift", {"distribution": {"layer": "b", "images": 10}}),
        ("drift", {"distribution": None}),
        ("drift", {"images": 10, "layers": {"fc1": {}}}),
        ("equivalence", {"images": 100}),
        ("equivalence", {"epoch": 3}),
        ("retiming", {"draws": 2}),
        ("retiming", {"images": 100}),
        ("retiming", {"epoch": 3}),
        ("retiming", {"updates": 100}),
        ("retiming", {"retimed": {"steps": 4, "how": "hold"}}),
    ],
)
def test_numbers_that_were_asked_for_otherwise_do_not(kind, other):
    assert not made(kind).was_asked({**KEPT[kind], **other}, EVALUATION)


def test_what_else_a_verb_kept_counts():
    ann = {**COUNTED, "is_ann": True, "steps": [1], "costs": {"digital-45nm": COSTS["digital-45nm"]}}
    assert made("energy").was_asked(ann, {**EVALUATION, "steps": 1}), "an ANN pays for no spikes"
    said = {**COSTS, "neuromorphic": {**COSTS["neuromorphic"], "note": "other words"}}
    assert made("energy").was_asked({**COUNTED, "costs": said}, EVALUATION)
    assert made("exit").was_asked({**CHOSEN, "draws": 1}, EVALUATION)
    assert not Exit(kind="exit", loss=1.0).was_asked(CHOSEN, EVALUATION)
    assert not Robust(kind="robust").was_asked({"split": "test"}, EVALUATION)


def test_what_a_network_can_be_measured_by():
    assert not takes("exit", is_ann=False, norm="bn")
    assert takes("exit", is_ann=False, norm="bntt-beta")
    assert takes("energy", is_ann=True, norm="none")
    assert not takes("drift", is_ann=False, norm="layer")
    assert takes("activity", is_ann=False, norm="none")


def test_a_bare_measure_has_no_command():
    with pytest.raises(NotImplementedError):
        Measure(kind="x").command(Path(), load_recipe("demo"))
