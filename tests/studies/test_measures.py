"""Measurements as a study asks for them, and whether what was kept is what is asked for."""

import json
from dataclasses import asdict

import pytest

from bntt.analysis.measurement import ArgumentError, Facts
from bntt.analysis.measurements import MEASUREMENTS
from bntt.studies.measures import KINDS, measure_from
from tests.evidence import RESULTS

FACTS = Facts("vgg9", "bntt", "poisson", 8, False, 5, True)
DIRECT = Facts("vgg9", "bntt", "direct", 8, False, 1, False)
ANN = Facts("vgg9", "none", "expected", 1, True, 1, False)


def made(kind, **words):
    return measure_from(kind, words)


def test_the_file_is_of_kind_and_arguments():
    assert made("exit").file == made("exit", loss=0.5).file != made("exit", loss=1.0).file
    assert made("exit").file.startswith("measures/exit-")
    assert made("retiming", steps=16, longer="hold").written == "evaluation-16-steps-hold.json"
    assert made("retiming", steps=4, longer="").written == "evaluation-4-steps-truncate.json"


def test_usual_arguments_and_words_are_those_of_studies():
    attack = made("attack", eps=[4, "1/255"], attacks=["pgd"], images=5).arguments
    assert (attack.eps, attack.attack, attack.images, attack.eot) == (("4/255", "1/255"), ("pgd",), 5, 16)
    assert made("attack", eps=["4/255"], attack=["pgd"]) == made("attack", eps=[4], attacks=["pgd"])
    assert made("stability").arguments.starts == 1
    assert made("robust").arguments.draws == 3
    assert all(made(kind).kind == kind for kind in (*MEASUREMENTS, *KINDS))


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("exits", {}, "no measurement 'exits'"),
        ("exit", {"los": 1}, "there is no --los"),
        ("attack", {"eps": [300]}, "300/255"),
        ("robust", {"images": 0}, "--images must be 1 or more"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(kind, words, said):
    with pytest.raises(ArgumentError, match=said):
        made(kind, **words)


def test_a_run_is_asked_for_what_it_can_be():
    assert made("attack").for_run(FACTS).eot == 16
    assert made("attack").for_run(DIRECT).eot is None, "nothing is drawn"
    assert made("stability").for_run(Facts("vgg9", "tab", "poisson", 8, False, 5, True)).norms == ("tab",)
    assert made("drift").for_run(ANN) == made("drift").arguments


@pytest.mark.parametrize(
    ("kind", "arguments", "facts", "same"),
    [
        ("activity", {}, FACTS, True),
        ("activity", {"split": "test", "draws": 1, "places": False}, FACTS, True),
        ("activity", {"split": "validation"}, FACTS, False),
        ("activity", {"draws": 2}, FACTS, False),
        ("activity", {"unheard": 2}, FACTS, False),
        ("exit", {"kind": "exit", "loss": 0.5}, FACTS, True),
        ("exit", {"kind": "exit", "loss": 1.0}, FACTS, False),
        ("attack", {"kind": "attack", "eps": [2, 4, 8], "attacks": ["fgsm"], "images": 500, "eot": 16}, FACTS, True),
        ("attack", asdict(made("attack").arguments), FACTS, True),
        ("attack", asdict(made("attack").arguments) | {"eot": None}, DIRECT, True),
        ("attack", asdict(made("attack", eot=8).arguments), FACTS, False),
        ("attack", asdict(made("attack").arguments) | {"eot": None}, FACTS, False),
        ("stability", {"kind": "stability", "rates": [0.03, 0.3, 3.0], "steps": 100}, FACTS, True),
        ("stability", {"rates": [0.03, 0.3, 3.0], "steps": 100}, FACTS, False),  # three starts by default, a study one
        ("stability", asdict(made("stability").for_run(FACTS)), FACTS, True),
    ],
)
def test_what_was_kept_is_compared_by_how_it_was_asked_for(kind, arguments, facts, same):
    assert made(kind).was_asked(arguments, facts) == same


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*/measures/*.json")), ids=lambda path: path.stem)
def test_every_kept_measure_is_what_it_says_and_can_be_read(file):
    kept = json.loads(file.read_text(encoding="utf-8"))
    words = {key: value for key, value in kept["arguments"].items() if key != "kind"}
    measure = made(kept["kind"], **words)
    assert measure.was_asked(kept["arguments"], FACTS)
    assert measure.read(kept["values"]).dataset


def test_another_record_of_a_measurement_is_read_as_such():
    values = json.loads((RESULTS / "cifar10-small-bntt" / "exit-per-sample.json").read_text(encoding="utf-8"))
    assert made("exit", per_sample=True).read(values).criteria
    with pytest.raises(ValueError, match="Field required"):
        made("exit").read(values)


@pytest.mark.parametrize(
    ("kind", "words", "norm", "is_ann", "taken"),
    [
        ("exit", {}, "bn", False, False),
        ("exit", {"per_sample": True}, "bn", False, True),
        ("exit", {}, "bntt-beta", False, True),
        ("exit", {}, "tab", False, True),
        ("energy", {}, "none", True, True),
        ("activity", {}, "none", True, False),
        ("drift", {}, "layer", False, False),
        ("equivalence", {}, "none", False, False),
        ("activity", {}, "none", False, True),
        ("neuron", {}, "none", True, False),
        ("robust", {}, "none", True, True),
        ("attack", {}, "none", True, True),
        ("stability", {}, "none", True, True),
    ],
)
def test_what_a_network_can_be_measured_by(kind, words, norm, is_ann, taken):
    assert made(kind, **words).takes(Facts("vgg9", norm, "poisson", 8, is_ann, 5, True)) == taken
