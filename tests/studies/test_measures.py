"""Measurements as a study asks for them, and whether what was kept is what is asked for."""

import json
from dataclasses import asdict

import pytest

from bntt.analysis.measurement import ArgumentError, Facts
from bntt.analysis.measurements import MEASUREMENTS
from bntt.studies.measures import KINDS, is_metric, measure_from, metric_of, named_metrics
from tests.evidence import RESULTS
from tests.rows import each_row
from tests.studies.found import written

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


@each_row(
    ("kind", "words", "said"),
    [
        ("exits", {}, "no measurement 'exits'"),
        ("exit", {"los": 1}, "there is no --los"),
        ("attack", {"eps": [300]}, "300/255"),
        ("attack", {"eps": "8/255"}, "--eps: input should be a valid tuple, got '8/255'"),
        ("attack", {"eps": 8}, "--eps: input should be a valid tuple, got 8"),
        ("robust", {"images": 0}, "--images must be 1 or more"),
        ("retiming", {"exit": True}, "accuracy at the exit is `exit-accuracy`"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(kind, words, said):
    with pytest.raises(ArgumentError, match=said):
        made(kind, **words)


def test_a_run_is_asked_for_what_it_can_be():
    assert made("attack").for_run(FACTS).eot == 16
    drawn = measure_from("attack", {"eot": 2, "draws": 3})
    assert (drawn.for_run(FACTS).eot, drawn.for_run(FACTS).draws) == (2, 3)
    assert (drawn.for_run(DIRECT).eot, drawn.for_run(DIRECT).draws) == (None, None), "nothing is drawn"
    assert measure_from("robust", {"draws": 3}).for_run(DIRECT).draws == 3, "noise is drawn of any code"
    for kind in ("exit", "energy", "activity"):
        assert measure_from(kind, {"draws": 3}).for_run(DIRECT) == measure_from(kind, {}).arguments
        assert measure_from(kind, {"draws": 3}).for_run(FACTS).draws == 3
    assert made("stability").for_run(Facts("vgg9", "tab", "poisson", 8, False, 5, True)).norms == ("tab",)
    assert made("drift").for_run(ANN) == made("drift").arguments


@each_row(
    ("kind", "arguments", "facts", "same"),
    [
        ("activity", {}, FACTS, True),
        ("activity", {"split": "test", "draws": 1, "places": False}, FACTS, True),
        ("activity", {"split": "validation"}, FACTS, False),
        ("activity", {"draws": 2}, FACTS, False),
        ("activity", {"unheard": 2}, FACTS, False),
        ("exit", {"kind": "exit", "loss": 0.5}, FACTS, True),
        ("exit", {"kind": "exit", "loss": 1.0}, FACTS, False),
        ("exit", asdict(made("exit").arguments) | {"choose_on": "validation"}, FACTS, True),  # as older files say
        ("exit", asdict(made("exit").arguments) | {"choose_on": "test"}, FACTS, False),
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
    assert made(kind).matches(arguments, facts) == same


@each_row("file", sorted(RESULTS.glob("*/measures/*.json")))
def test_every_kept_measure_is_what_it_says_and_can_be_read(file):
    kept = json.loads(file.read_text(encoding="utf-8"))
    words = {key: value for key, value in kept["arguments"].items() if key != "kind"}
    measure = made(kept["kind"], **words)
    assert measure.matches(kept["arguments"], FACTS)
    assert measure.read(kept["values"]).dataset


def test_another_record_of_a_measurement_is_read_as_such():
    values = json.loads((RESULTS / "cifar10-small-bd63a9e48c3d" / "exit-per-sample.json").read_text(encoding="utf-8"))
    assert made("exit", per_sample=True).read(values).criteria
    with pytest.raises(ValueError, match="Field required"):
        made("exit").read(values)


@each_row(
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
        ("card", {}, "none", True, False),
        ("card", {}, "layer", False, True),
        ("robust", {}, "none", True, True),
        ("attack", {}, "none", True, True),
        ("stability", {}, "none", True, True),
        ("retiming", {"steps": 4}, "none", True, False),
        ("retiming", {"split": "train"}, "none", True, True),
        ("retiming", {"steps": 4}, "none", False, True),
    ],
)
def test_what_a_network_can_be_measured_by(kind, words, norm, is_ann, taken):
    assert made(kind, **words).takes(Facts("vgg9", norm, "poisson", 8, is_ann, 5, True)) == taken


NUMBERS = {
    "accuracy": 87.528, ("accuracy-after", 8.0): 87.528, "steps": 8, "spikes": 6380.66924, "updates": 4220,
    "exit-steps": 7, "exit-accuracy": 54.09, "exit-lost": 0.03, "exit-saved": 12.5,
    "exit-threshold": 0.22629590332508087, "truncation-steps": 7, "truncation-saved": 12.5, "truncation-lost": 0.03,
    "paper-exit-steps": 8, "paper-exit-accuracy": 54.12, "paper-exit-saved": 0, "paper-exit-lost": 0,
    "gamma-later": 0.9819805060619657, "gamma-peak": 5, "gamma-first": 22.31123019415849,
    "gamma-last": 16.623561118356545, "gamma-smallest": 0.02903965674340725, "gamma-change": 61.634374300151,
    "deviation-change": 63.22670127566588,
    "spikes-later": 0.9697815168769667, "spikes-peak": 6, "last-step": 6.112155032844465,
    "spikes-first": 1.4817095927404897, "spikes-last": 6.57414778635733, "gamma-floor": None,
    "energy": 2.27823184237, "energy-synaptic": 0.7469852619600001, "ann-over-snn-synaptic": 7.07775998970527,
    "ann-energy": 5.3209664, "ann-over-snn": 2.335568444370746,
    "drift": 0.07567998990605809, "largest-drift": 0.14386307306191187, "drift-if-shared": 0.23472442141839642,
    "exact-agreement": 100, "eq15-accuracy": 10, "eq15-agreement": 10.1, "full-accuracy": 53.5,
    ("noisy-accuracy", 0.4): 49.166666666666664, ("noise-loss", 0.4): 38.7,
    "noise-area": 46.19166666666666,
    ("fgsm-accuracy", 8.0): 72.52, ("fgsm-loss", 8.0): 14.4, ("pgd-accuracy", 8.0): None,
    "retimed-accuracy": 87.528,
    "failed-starts": 37.03703703703704, "reached-accuracy": 20.951851851851853,
    ("gradient-change", 0.3): 85.637024783773, ("gradient-change-at-loss", 5.0): 22.84140305127382,
    "spiking-steps": 1,
    "synaptic-operations": 13.0, "membrane-bytes": 32.0, "highest-membrane": 3.5, "negative-gamma": 25.0,
    "exit.by_reading.magnitude.steps": 7, "activity.layers.conv1.neurons": 16384,
    "activity.layers.conv9.neurons": None,
    "retiming.accuracy_over_time.7": 0.87528,
}  # fmt: skip
"""Of the kept files, at a place where a number has one; those of before records were read are the same."""
USUAL = {"retiming": {"steps": 4}}


@each_row("name", NUMBERS)
def test_numbers_of_kept_files(name):
    name, at = name if isinstance(name, tuple) else (name, None)
    kind, metric = metric_of(name)
    file = "gradients" if name.startswith("gradient") else kind  # older stability has none that count
    record = measure_from(kind, USUAL.get(kind, {})).read(written(file))
    expected = NUMBERS[name if at is None else (name, at)]
    assert metric.read(record, at) == (None if expected is None else pytest.approx(expected, rel=1e-12))
    assert metric.placed == (at is not None)


def test_every_name_has_its_number():
    plain = {name if isinstance(name, str) else name[0] for name in NUMBERS}
    assert named_metrics().keys() == {name for name in plain if "." not in name}


@each_row(
    ("name", "known"),
    [("drift", True), ("drift.images", True), ("drift.", False), ("drifts", False), ("os.system", False)],
)
def test_a_number_is_named_or_a_path_of_a_measurement(name, known):
    assert is_metric(name) == known
