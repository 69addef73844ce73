"""How bounds are written, what may be asked for, and what the verb does beyond those of all measurements."""

import json

import pytest

from bntt.analysis.attack import measure
from bntt.analysis.attack.measurement import ATTACK, AttackArguments, parse_eps
from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import checked_arguments
from bntt.cli import main as cli
from tests.runs.measured import copy_of, small_run


def test_bounds():
    assert [parse_eps(text) for text in ("8/255", "0.03", "1.0", "1/1", "1e-3", "255/255")] == [
        8 / 255, 0.03, 1.0, 1.0, 1e-3, 1.0
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8", "--eps 8: pixels run from 0 to 1; is 8/255 meant"),
        ("1", "--eps 1: .* is 1/255 meant"),
        ("8.0", "--eps 8.0: eps must be above 0 and at most 1.* 8/255 is meant"),
        ("300/255", "at most 1"),
        ("0", "of 0 the accuracy is the clean one"),
        ("0/255", "of 0 the accuracy is the clean one"),
        ("-8/255", "eps must be above 0"),
        ("nan", "eps must be above 0"),
        ("inf", "eps must be above 0"),
        ("8/0", "write it as 8/255 or 0.03"),
        ("eight", "write it as 8/255 or 0.03"),
        ("", "write it as 8/255 or 0.03"),
    ],
)
def test_bounds_that_are_none(text, message):
    with pytest.raises(ArgumentError, match=message):
        parse_eps(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eps": ()}, "needs a bound"),
        ({"attack": ()}, "needs a bound"),
        ({"eps": ("8",)}, "is 8/255 meant"),
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"restarts": 0}, "--restarts must be 1 or more"),
        ({"eot": 0}, "--eot must be 1 or more"),
        ({"images": 0}, "--images must be 1 or more"),
        ({"draws": 0}, "--draws must be 1 or more"),
        ({"queries": 1}, "--queries must be 2 or more"),
        ({"step_size": "nan"}, "--step-size nan: must be above 0 and at most 1"),
        ({"step_size": "2"}, "--step-size 2: .* is 2/255 meant"),
    ],
)
def test_what_has_no_sense_is_refused(values, message):
    with pytest.raises(ArgumentError, match=message):
        checked_arguments(AttackArguments, values)


def test_what_is_asked_twice_is_done_once():
    assert AttackArguments(eps=("0.1", "0.2", "0.1")).bounds == (0.1, 0.2)
    assert ATTACK.stem(AttackArguments(split="validation")) == "attack-validation"


SMALL = ["--eps", "8/255", "--images", "6", "--eot", "2", "--steps", "2", "--draws", "2", "--attack", "fgsm"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "SWEEP", (1,))
    return copy_of(trained, tmp_path)


def test_a_second_run_is_attacked_too(run, trained, monkeypatch, capsys):
    monkeypatch.setattr("bntt.analysis.attack.rows.zero_gradients", lambda zero: "")
    monkeypatch.setattr("bntt.analysis.attack.rows.still_right", lambda right, classes: "")
    assert cli.main(["attack", str(run), *SMALL, "--from", str(trained.path)]) == 0
    out = capsys.readouterr().out
    assert "tiny, ε = 8/255: 6 of 1,000" in out
    assert {row["crafted_on"] for row in json.loads((run / "attack.json").read_text())["rows"]} == {
        "copy", "tiny", "any"
    }  # fmt: skip
    assert cli.main(["attack", str(run), *SMALL, "--from", "/nonexistent"]) == 4


def test_invalid_numbers_are_shown_and_written_and_the_code_is_7(run, monkeypatch, capsys):
    """E2: gradients of zeros, as the released encoder has them."""
    real = measure.descend

    def hidden(model, images, labels, threat, **options):
        found = real(model, images, labels, threat, **options)
        return type(found)(images, found.zero | True, found.agreement)

    monkeypatch.setattr(measure, "descend", hidden)
    assert cli.main(["attack", str(run), *SMALL]) == 7
    shown = capsys.readouterr()
    assert "INVALID" in shown.out
    assert shown.err.count("\n") == 1
    assert "the gradient is zero in every pixel of 100.0% of the images" in shown.err
    assert any(row["invalid"] for row in json.loads((run / "attack.json").read_text())["rows"])
    assert (run / "attack.png").exists()


def test_flags_are_refused_in_one_line(run, capsys):
    for flags, message in ((["--eps=-8/255"], "eps must be above 0"), (["--eps", "8"], "is 8/255 meant")):
        assert cli.main(["attack", str(run), *flags]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (run / "attack").exists()
