"""Which measurements a directory holds; files that anybody has spoilt become gaps, and never an error."""

import copy
import itertools
import json

import pytest

from bntt.charts.colours import looks_of
from bntt.charts.page import draw
from bntt.charts.text import table_of
from bntt.studies.report import measures
from bntt.studies.report.measures import kind_of, measured, sections_of
from bntt.studies.report.reading import Values
from tests.studies.found import NEURON
from tests.studies.report.measured import KEPT

FILES = {
    "evaluation": "cifar10-small-bntt", "activity": "cifar10-small-bntt", "exit": "cifar10-small-bntt",
    "exit-per-sample": "cifar10-small-bntt", "energy": "cifar10-small-bntt", "drift": "cifar10-small-bntt",
    "equivalence": "cifar10-small-bntt", "attack": "rivals-attack-bntt", "robust": "rivals-noise",
    "stability": "stability", "neuron": "",
}  # fmt: skip
ODD = (None, "x", [None], {}, float("nan"), 1e308, -1)


def test_files_are_found_by_kind(tmp_path):
    for name in ("exit", "exit-per-sample", "energy-validation", "energy", "environment", "mine"):
        (tmp_path / f"{name}.json").write_text("{}")
    found = {kind: [path.stem for path in paths] for kind, paths in measured(tmp_path).items()}
    assert found == {"exit": ["exit", "exit-per-sample"], "energy": ["energy", "energy-validation"], "": ["mine"]}
    assert kind_of("exits") == ""


def test_another_split_is_titled_and_unknown_files_are_named(tmp_path):
    (tmp_path / "energy-validation.json").write_bytes((KEPT / "rival-ann-0" / "energy.json").read_bytes())
    (tmp_path / "mine.json").write_text("{}")
    energy, others = sections_of(tmp_path)
    assert energy.title == "Operations and energy (validation)"
    assert "mine.json" in others.words[0]


def test_one_broken_evaluation_is_a_gap_beside_the_others(tmp_path):
    (tmp_path / "evaluation.json").write_text("{")
    (tmp_path / "evaluation-4-steps.json").write_bytes((KEPT / "rival-ann-0" / "evaluation.json").read_bytes())
    (section,) = sections_of(tmp_path)
    assert "evaluation.json: no JSON" in section.gaps[0]
    assert len(section.tables[0].rows) == 1


ODDS = itertools.cycle(ODD)


def spoilt(values, depth=4):
    """Each place of a nested value, the first of equals only, with two odd things in it in turn, and taken out."""
    if depth == 0:
        return
    places = list(values) if isinstance(values, dict) else range(min(1, len(values)))
    for place in places:
        held = values[place]
        for odd in itertools.islice(ODDS, 2):
            values[place] = odd
            yield
        values[place] = held
        if isinstance(values, dict):
            del values[place]
            yield
            values[place] = held
        if isinstance(held, dict | list):
            yield from spoilt(held, depth - 1)


@pytest.mark.parametrize("kind", FILES)
def test_whatever_is_wrong_in_a_file_is_at_worst_a_gap(kind, tmp_path, monkeypatch):
    values = (
        json.loads((KEPT / FILES[kind] / f"{kind}.json").read_text(encoding="utf-8"))
        if FILES[kind]
        else copy.deepcopy(NEURON)
    )
    (tmp_path / f"{kind}.json").touch()
    monkeypatch.setattr(measures, "read_json", lambda path: Values(values, path.name))
    (whole,) = sections_of(tmp_path)
    assert not whole.gaps
    for unread in ("cells", "settings", "by_reading", "neurobench", "per_step", "deviation", "gamma_signed"):
        values.pop(unread, None)
    for key in ("layers", "folds", "firing_rate", "gamma_magnitude"):
        if isinstance(values.get(key), dict):  # all layers are alike
            values[key] = dict(list(values[key].items())[:1])
    gaps = 0
    for _ in spoilt(values):
        (section,) = sections_of(tmp_path)
        gaps += bool(section.gaps)
        for chart in section.charts:
            assert table_of(chart).columns
            assert draw(chart, looks_of(section.charts))
    assert gaps > 5
