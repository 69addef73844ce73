"""A run under attack: what is measured, transfer, going on after a stop, what is refused, and how it is asked for."""

import dataclasses
import json

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attack import AttackArguments, attacks, measure_attack, parse_eps
from bntt.analysis.attack.attacks import Job, cell_path, descend, outcomes, prepare, right_under
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.cli import main as cli
from bntt.data import SampleLoader, stratified
from bntt.data.samples import how_chosen
from bntt.engine import kernels
from bntt.io.checkpoint import CheckpointError
from bntt.runs.open_run import load_run
from tests.trained import copied_run, opened_run, trained_run

ASKED = AttackArguments(("0.1",), ("fgsm", "square"), steps=2, eot=2, queries=4, images=5, draws=2)
SQUARE = dataclasses.replace(ASKED, attack=("square",), queries=2, images=2)
ORDER = [
    ("clean", ""),
    ("pgd", "straight_through"),
    ("pgd", "expected"),
    ("signs", ""),
    ("fgsm", "straight_through"),
    ("fgsm", "expected"),
    ("square", ""),
]


def small_batches(patch):
    patch.setattr(attacks, "BATCH", 3)
    patch.setattr(attacks, "CONTROL_IMAGES", 3)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    small_batches(monkeypatch)


@pytest.fixture
def run(tmp_path):
    return load_run(copied_run(tmp_path).path)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A run whose attack was stopped after five batches, and begun again: its setup, outcomes and batches made."""
    run = load_run(copied_run(tmp_path_factory.mktemp("attacked")).path)
    made, original = [], attacks.run_job

    def watched(job, runs, images, labels, places, draws):
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append((job, int(places[0])))
        return original(job, runs, images, labels, places, draws)

    with pytest.MonkeyPatch.context() as patch:
        small_batches(patch)
        patch.setattr(attacks, "run_job", watched)
        setup = prepare([run], ASKED)
        with pytest.raises(KeyboardInterrupt):
            outcomes(setup, Progress())
        stopped = {path.name: json.loads(path.read_text()) for path in (run.path / "attack").glob("*.json")}
        made.append("stopped")
        progress = Progress()
        found = outcomes(setup, progress)
        assert progress.done == setup.total
    return run, setup, found, made, stopped


def test_every_attack_of_every_image(attacked):
    _, _, found, _, _ = attacked
    assert [(job.attack, job.estimator) for job in found] == ORDER
    assert [one.right(0).shape[1] for one in found.values()] == [5, 3, 3, 5, 5, 5, 5]
    assert [len(one.batches) for one in found.values()] == [2, 1, 1, 2, 2, 2, 2]
    assert all(one.change <= job.eps + 1e-7 for job, one in found.items())
    assert 0 < list(found.values())[-1].queries <= 4


def test_what_was_interrupted_goes_on_where_it_stopped(attacked):
    """Fault 95: every batch is kept, none is made twice, and what is not complete says so."""
    run, _, found, made, stopped = attacked
    assert len(made) == len(set(made)) == 13
    partial = [values for values in stopped.values() if not values["complete"]]
    assert len(stopped) == 4
    assert [len(values["batches"]) for values in partial] == [1]
    assert outcomes(prepare([run], ASKED), Progress()) == found
    assert len(made) == 13


def test_images_and_noise_are_those_of_an_evaluation(attacked):
    """The clean images are counted as evaluate counts them, since each has its own place's noise."""
    run, setup, found, _, _ = attacked
    every, places = run.data.test.select(torch.arange(1000)), setup.places
    assert torch.equal(places.sort().values, stratified(every, 5, run.recipe.seed))
    assert torch.equal(places[:3].sort().values, stratified(every, 3, run.recipe.seed)), "a control's few are fair too"
    assert setup.chosen == how_chosen(every, 5, run.recipe.seed)
    rows = torch.arange(int(places.max()) + 1)
    evaluated = evaluate(run.model, SampleLoader(every.select(rows), 250), draws=2).right
    assert torch.equal(found[Job(0, "clean")].right(0), evaluated[:, places])


def test_an_attack_is_the_librarys(attacked):
    run, setup, found, _, _ = attacked
    job, outcome = next((job, one) for job, one in found.items() if (job.attack, job.estimator) == ORDER[5])
    for batch, rows in zip(outcome.batches, torch.arange(5).tensor_split(2), strict=True):
        images, labels, index = setup.images.batch(rows), setup.images.labels[rows], setup.places[rows]
        theirs = descend(run.model, images, labels, job.threat, estimator="expected", index=index)
        right = right_under(run.model, theirs.images, labels, draws=2, index=index)
        assert [attacks.to_bits(row) for row in right] == list(batch.right[0])


def test_other_settings_are_other_attacks(run, tmp_path, monkeypatch):
    def files():
        return len(list((run.path / "attack").glob("*.json")))

    made = next(iter(outcomes(prepare([run], SQUARE), Progress()).values())).batches[0]
    assert files() == 3
    wider = dataclasses.replace(SQUARE, eps=("0.1", "0.2"))
    outcomes(prepare([run], wider), Progress())
    assert files() == 5  # signs and square of the new bound
    outcomes(prepare([run], dataclasses.replace(wider, draws=1)), Progress())
    assert files() == 10
    assert "precision" not in json.loads(next((run.path / "attack").glob("square*.json")).read_text())["settings"]
    monkeypatch.setattr(kernels, "has_bf16", lambda: True)  # nothing computes with it below
    run.model.network.compute = dataclasses.replace(run.model.network.compute, precision="bf16")
    monkeypatch.setattr(attacks, "run_job", lambda *_: made)
    outcomes(prepare([run], SQUARE), Progress())
    assert files() == 13, "another precision is another attack"
    outcomes(prepare([dataclasses.replace(run, measured_with={"compute.precision": "bf16"})], SQUARE), Progress())
    assert files() == 16, "and so are overridden options"
    job, settings = Job(0, "pgd", 8 / 255, "expected"), {"attack": "pgd", "eps": 0.1}
    assert cell_path(tmp_path, job, settings).name == "pgd-expected-8-796ee6b6f622.json"
    assert cell_path(tmp_path, job, dict(reversed(settings.items()))) == cell_path(tmp_path, job, settings)
    for path in (run.path / "attack").glob("square*.json"):
        path.write_text("{")
    with pytest.raises(CheckpointError, match="square"):
        outcomes(prepare([run], wider), Progress())


def test_direct_coding_draws_nothing():
    direct = opened_run(encoder={"name": "direct"})
    setup = prepare([direct], AttackArguments(("0.1",), ("fgsm",), steps=2, images=8))
    assert setup.draws == 1
    assert [job.estimator for job in setup.jobs] == ["", "exact", "", "exact"]
    assert {job.threat.draws for job in setup.jobs if job.threat} == {1}
    for name in ("eot", "draws"):
        with pytest.raises(ArgumentError, match=f"--{name} 5"):
            prepare([direct], AttackArguments(("0.1",), **{name: 5}))


@pytest.mark.slow
def test_images_made_on_one_run_are_measured_on_the_other(tmp_path):
    tables = {"encoder": {"name": "expected"}, "network": {"neuron": "relu", "num_steps": 1, "norm": "none"}}
    ann, run = load_run(copied_run(tmp_path, **tables).path), opened_run()
    setup = prepare([ann, run], AttackArguments(("0.1",), ("fgsm",), steps=1, images=3, eot=1, draws=2))
    found = {job: one for job, one in outcomes(setup, Progress()).items() if job.attack == "fgsm"}
    assert [(job.source, job.estimator) for job in found] == [(0, "exact"), (1, "straight_through"), (1, "expected")]
    images, labels = setup.images.batch(torch.arange(3)), setup.images.labels
    for job, outcome in found.items():
        source = (ann, run)[job.source].model
        made = descend(source, images, labels, job.threat, estimator=job.estimator, index=setup.places).images
        for target, model in enumerate((ann.model, run.model)):
            right = right_under(model, made, labels, draws=2, index=setup.places)
            assert torch.equal(outcome.right(target), right)


def test_what_cannot_be_attacked_is_refused_before_any_work(run):
    count, other = len(run.data.test), opened_run(data={"validation": 0.02})
    for opened, changes, named in (
        ([run], {"images": count + 1}, f"--images {count + 1}"),
        ([run, other], {"split": "validation"}, "validation images"),
        ([run, run], {}, "twice"),
    ):
        with pytest.raises(ArgumentError, match=named):
            prepare(opened, dataclasses.replace(ASKED, **changes))
    assert len(prepare([run], dataclasses.replace(ASKED, images=None)).places) == min(500, count)
    assert prepare([run, other], ASKED).models[1].name
    assert not (run.path / "attack").exists()


def test_the_record_says_what_was_measured(run):
    found = measure_attack([run], SQUARE, Progress())
    assert (found.arguments, found.dataset, found.split) == (SQUARE, run.dataset, "test")
    assert (found.classes, found.chosen) == (10, how_chosen(run.data.test, 2, run.recipe.seed))
    assert [(model.name, model.randomness) for model in found.models] == [("copy", "redrawn")]
    assert found.models[0].weights_sha256 == run.weights_sha256
    assert [row.attack for row in found.found] == ["signs", "square", "worst case"]


def test_bounds():
    for text, bound in (("8/255", 8 / 255), ("0.03", 0.03), ("1.0", 1), ("1/1", 1), ("1e-3", 1e-3), ("255/255", 1)):
        assert parse_eps(text) == bound
    assert AttackArguments(eps=("0.1", "0.2", "0.1")).bounds == (0.1, 0.2)


SMALL = ["--eps", "8/255", "--images", "2", "--eot", "1", "--steps", "1", "--draws", "1"]


@pytest.mark.slow  # half of it draws; the faults have the code of one run in every test run
def test_invalid_numbers_of_two_runs_are_shown_and_written_and_the_code_is_7(run, monkeypatch, capsys):
    """E2: gradients of zeros, as the released encoder has them."""
    real = attacks.descend

    def hidden(model, images, labels, threat, **options):
        found = real(model, images, labels, threat, **options)
        return type(found)(images, found.zero | True)

    monkeypatch.setattr(attacks, "descend", hidden)
    other = trained_run().path
    assert cli.main(["attack", str(run.path), *SMALL, "--attack", "fgsm", "--from", str(other)]) == 7
    shown = capsys.readouterr()
    assert "INVALID" in shown.out
    assert shown.err.count("\n") == 1
    rows = json.loads((run.path / "attack.json").read_text())["rows"]
    assert any(row["invalid"] for row in rows)
    assert {row["crafted_on"] for row in rows} == {"copy", other.name, "any"}
    assert (run.path / "attack.png").exists()


def test_the_code_of_sound_numbers_is_0_and_of_flags_without_sense_2(run):
    assert cli.main(["attack", str(run.path), *SMALL, "--attack", "square", "--queries", "2"]) == 0
    assert cli.main(["attack", str(run.path), *SMALL, "--from", "/nonexistent"]) == 4
    assert cli.main(["attack", str(run.path), "--eps=-8/255"]) == 2
