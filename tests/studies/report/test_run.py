"""A run directory as a subject."""

import json

from bntt.studies.report.run import flat, run_subject
from tests.studies.report.measured import KEPT
from tests.studies.report.results import write_run


def test_a_kept_run():
    subject = run_subject(KEPT / "cifar10-small-bntt")
    assert (subject.kind, subject.gaps) == ("run", ())
    assert subject.lead == (
        "vgg9 with norm bntt, 8 time steps, on CIFAR-10 (JPEG copy): one start. Test accuracy of 10,000 images: 54.5% "
        "(95% interval 53.6% to 55.5%)."
    )
    facts = dict(subject.facts)
    assert facts["Seed"] == "0 (one start)"
    assert facts["Device"] == "cpu, AMD EPYC, 1 thread"
    assert facts["Commit"] == "f2c52ddb3c8b"
    assert facts["Time"] == "22 min, with validation"
    assert facts["The paper's value"].startswith("not available")
    assert [section.title for section in subject.sections] == [
        "Accuracy", "Training", "Spike activity", "Early exit", "Early exit, image by image", "Operations and energy",
        "Drift of statistics", "Equivalence of folded networks", "Recipe",
    ]  # fmt: skip


def test_everything_that_was_kept_can_be_told():
    for folder in sorted(path for path in KEPT.iterdir() if path.is_dir()):
        subject = run_subject(folder)
        assert not subject.gaps, folder
        assert not [gap for section in subject.sections for gap in section.gaps], folder


def test_measurements_alone_are_no_run():
    subject = run_subject(KEPT / "rivals-noise")
    assert (subject.kind, subject.facts, subject.gaps) == ("measurements", (), ())
    assert [cell.text for cell in subject.compared] == ["rivals-noise", "Robustness to noise"]


def test_what_is_missing_or_broken_is_stated(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "environment.json").unlink()
    (run / "metrics.jsonl").write_text("{\n{}")
    (run / "recipe.toml").write_text("seed = ")
    (run / "evaluation.json").write_text(json.dumps({"accuracy": "high"}))
    subject = run_subject(run)
    assert subject.kind == "run"
    assert [gap.split(":")[0] for gap in subject.gaps] == ["recipe.toml", "environment.json"]
    gaps = {section.title: section.gaps for section in subject.sections}
    assert gaps["Training"][0].startswith("metrics.jsonl, line 1: no JSON")
    assert gaps["Evaluate"] == ("evaluation.json: dataset: Field required",)
    assert subject.compared[6].text == "not evaluated"


def test_tables_of_another_kind_are_passed_over(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "recipe.toml").write_text('seed = "x"\nnetwork = 3\ndata = []\ntrain = "all"\n')
    (run / "environment.json").write_text('{"data": 3, "threads": "many", "device": []}')
    assert "a network with norm not told" in run_subject(run).lead


def test_settings_have_whole_names_and_an_end():
    deep: dict = {}
    at = deep
    for _ in range(100):
        at["a"] = {}
        at = at["a"]
    assert next(flat({"notes": "x", "b": {"c": True}, **deep})) == ("b.c", "True")
