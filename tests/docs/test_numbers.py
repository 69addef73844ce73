"""Numbers that the documents set beside each other are of the same starts, images, draws and prices."""

import importlib
from pathlib import Path

import pytest

from bntt.charts.records import Figure
from bntt.models import pretrained_facts
from bntt.studies.study_file import load_study, study_names
from tests.studies.found import full_result

ROOT = Path(__file__).parents[2]
PRICED = ("cifar10-steps25", "energy")
"""The studies that compare energies."""


@pytest.fixture
def page(monkeypatch):
    """A maker of pages, by its name."""
    monkeypatch.syspath_prepend(ROOT / "docs")
    return lambda name: importlib.import_module(f"pages.{name}")


@pytest.fixture
def evidence(page):
    return page("evidence").Evidence()


def made_up(page, **runs):
    """Evidence of one study, whose runs have a number by seed."""
    found = object.__new__(page("evidence").Evidence)
    starts = {
        run: [{"seed": seed, "state": "done", "directory": f"results/{run}-{seed}"} for seed in values]
        for run, values in runs.items()
    }
    rows = [{"run": run, "cells": {"spikes": {"values": [*values.values()]}}} for run, values in runs.items()]
    table = [{"name": run, "starts": [*listed, {"seed": 9, "state": "not run"}]} for run, listed in starts.items()]
    found.studies = {"made": {"runs": table, "table": {"rows": rows}}}
    return found


def test_runs_are_compared_by_the_starts_that_both_have(page):
    found = made_up(page, one={1: 20.0, 2: 40.0}, other={0: 1000.0, 1: 10.0, 2: 30.0})
    assert found.difference("made", "one", "other", "spikes") == "10.00 points (10.00 to 10.00)"


@pytest.mark.parametrize("name", study_names())
def test_accuracy_under_noise_stands_beside_that_without_on_the_same_images(name):
    shown = [column for column in load_study(name).table if column.shown and column.metric == "noisy-accuracy"]
    clean = {column.source for column in shown if column.at == 0}
    assert [column.key for column in shown if column.source not in clean] == []


@pytest.mark.parametrize(("study", "lost"), [("noise-steps", "lost-04"), ("cifar10-steps25", "noise-loss-04")])
def test_what_noise_costs_is_the_difference_of_its_row(evidence, study, lost):
    rows = [row["cells"] for row in evidence.studies[study]["table"]["rows"] if row["cells"][lost]]
    assert len(rows) >= 3
    for cells in rows:
        assert cells["noise-0"]["mean"] - cells["noise-04"]["mean"] == pytest.approx(cells[lost]["mean"])


def test_the_picture_of_the_front_page_has_the_accuracy_of_the_package(page):
    figure = dict(page("zoo").pictures())["readme.svg"]
    facts = pretrained_facts(page("zoo").PICTURED)
    assert figure.title.startswith(f"One network on Fashion-MNIST: {facts.test['accuracy']:.1%} after")
    assert f"{facts.test['accuracy']:.1%}" in (ROOT / "docs" / "reference" / "zoo.md").read_text(encoding="utf-8")


def test_energies_by_spike_are_those_of_the_studies(evidence):
    for study in PRICED:
        for run in ("bntt", "ann"):
            assert evidence.energy(study, run, "snn", "spikes") == pytest.approx(
                evidence.by_start(study, run, "energy")
            )
            by_value = evidence.energy(study, run, "snn_synaptic", "values")
            assert (by_value == evidence.energy(study, run, "snn_synaptic", "spikes")) == (run == "ann")


def test_no_verdict_on_energy_differs_by_value(page, evidence):
    """As the page of claims says: the intervals lie on the same side of 0 at both prices."""
    difference, judged = page("evidence").paired_difference, 0
    for study in PRICED:
        for claim in (one for one in load_study(study).claims if getattr(one, "of", "") == "energy"):
            for other in claim.than:
                sides = set()
                for price in ("spikes", "values"):
                    low, high = difference(
                        *(evidence.energy(study, run, "snn", price) for run in (claim.run, other))
                    ).interval
                    sides.add((low > 0) - (high < 0))
                assert len(sides) == 1, claim.says
                judged += 1
    assert judged == 4


def test_findings_give_both_prices_of_energy(evidence):
    text = (ROOT / "docs" / "evidence" / "findings.md").read_text(encoding="utf-8")
    for price in ("spikes", "values"):
        assert evidence.priced("cifar10-steps25", "bntt", "snn_synaptic", price) in text
    assert "by spike" in text
    assert "by value" in text


def test_the_front_page_has_the_numbers_of_the_studies(evidence):
    """Each norm at its own rate on Fashion-MNIST; accuracy and spikes on CIFAR-10 at T = 25."""
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    spikes = [f"{evidence.mean('own-rates', run, 'spikes'):,.0f}" for run in ("bntt", "pooled")]
    assert f"with {spikes[0]} spikes per image instead of {spikes[1]}" in text
    assert f"(+{evidence.difference('own-rates', 'bntt', 'pooled').replace(' points (', ' points, ')}" in text
    assert f"one standard BN by {evidence.difference('own-rates', 'bntt', 'bn')[:3]} points" in text
    assert f"{evidence.difference('cifar10-steps25', 'pooled', 'bntt').partition('.')[0]}.4 points below" in text
    assert (
        round(evidence.mean("cifar10-steps25", "pooled", "spikes") / evidence.mean("cifar10-steps25", "bntt", "spikes"))
        == 7
    )


def test_the_pictures_of_findings_show_what_their_titles_say(page, monkeypatch):
    findings = page("findings")
    monkeypatch.setattr(findings, "recomputed", lambda names: [full_result(name) for name in names])
    for other in ("floor_figure", "decay_figure", "norms_figure"):
        monkeypatch.setattr(findings, other, lambda *_: Figure("", []))
    drawn = {name: {chart.y.label for chart in figure.charts} for name, figure in findings.pictures()}
    assert drawn["findings-cifar10-steps25.svg"] == {"firing rate", "mean |γ|"}
    assert drawn["findings-figure-8.svg"] == {"test accuracy"}
