"""A run under attack: what is measured, transfer, going on after a stop, and what is refused before any work."""

import dataclasses
import json

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attack.descent import descend
from bntt.analysis.attack.fresh_noise import right_under
from bntt.data import SampleLoader, stratified
from bntt.data.subset import how_chosen
from bntt.io.checkpoint import CheckpointError
from bntt.runs.measures import attack
from bntt.runs.measures.attack import attack_cells, clean_of, enough_draws, victims
from bntt.runs.measures.attack_plan import Plan
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from tests.runs.measured import copy_of, small_run

PLAN = Plan((0.1,), ("fgsm", "square"), steps=2, eot=2, queries=4, images=8, draws=2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return small_run(root), small_run(root, network={"norm": "bn"}), small_run(root, encoder={"name": "direct"})


@pytest.fixture
def run(runs, tmp_path):
    return load_run(copy_of(runs[0], tmp_path))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(attack, "BATCH", 3)
    monkeypatch.setattr(attack, "CONTROL_IMAGES", 4)
    monkeypatch.setattr(attack, "SWEEP", (1, 2))
    monkeypatch.setattr(attack, "SWEEP_IMAGES", 3)


def test_every_attack_of_every_image(run):
    told, of = [], victims(run, PLAN)
    sweep = enough_draws(of, progress=told.append)
    cells = list(attack_cells(of, progress=told.append))
    assert sum(told) == of.total
    assert [(cell.job.attack, cell.job.estimator) for cell in cells] == [
        ("clean", ""),
        ("pgd", "straight_through"),
        ("pgd", "expected"),
        ("signs", ""),
        ("fgsm", "straight_through"),
        ("fgsm", "expected"),
        ("square", ""),
    ]
    assert [cell.right(0).shape[1] for cell in cells] == [8, 4, 4, 8, 8, 8, 8]
    assert [len(cell.pieces) for cell in cells] == [3, 2, 2, 3, 3, 3, 3]
    assert [(row["draws"], row["estimator"]) for row in sweep] == [
        (n, name) for name in ("straight_through", "expected") for n in (1, 2)
    ]
    assert all(0.5 < row["sign_agreement"] <= 1 for row in sweep)
    assert all(cell.change <= cell.job.eps + 1e-7 for cell in cells)
    assert cells[-1].queries <= 4


def test_images_and_noise_are_those_of_an_evaluation(run):
    """The clean images are counted as evaluate counts them, since each has its own place's noise."""
    of, every = victims(run, PLAN), run.data.test
    places = of.places
    assert torch.equal(places.sort().values, stratified(every, 8, run.recipe.seed))
    assert torch.equal(places[:3].sort().values, stratified(every, 3, run.recipe.seed)), "a control's few are fair too"
    assert of.chosen == how_chosen(every, 8, run.recipe.seed)
    clean = clean_of(list(attack_cells(of)))
    index, labels = torch.arange(len(every)), every.labels
    whole = right_under(run.model, every.batch(index), labels, draws=2, index=index)
    assert torch.equal(clean.right(0), whole[:, places])
    shares = evaluate(run.model, SampleLoader(every, 250), draws=2).accuracy.per_draw
    assert whole.double().mean(1).tolist() == pytest.approx(list(shares))


def test_an_attack_is_the_librarys(run):
    of = victims(run, PLAN)
    cell = next(c for c in attack_cells(of) if (c.job.attack, c.job.estimator) == ("fgsm", "expected"))
    images, labels = of.images.batch(torch.arange(8)), of.images.labels
    found = descend(run.model, images, labels, cell.job.threat, estimator="expected", index=of.places)
    right = right_under(run.model, found.images, labels, draws=2, index=of.places)
    assert (cell.right(0) != right).double().mean() < 0.1  # other batches round otherwise, and a sign may turn
    assert cell.agreement == pytest.approx(float(found.agreement.mean()), abs=1e-3)


def test_what_was_interrupted_goes_on_where_it_stopped(run, monkeypatch):
    """Fault 95: every batch is kept, none is made twice, and what is not complete says so and is not given."""
    made, original = [], attack._attacked

    def watched(of, job, rows):
        if len(made) == 8:
            raise KeyboardInterrupt
        made.append((job, rows[0].item()))
        return original(of, job, rows)

    monkeypatch.setattr(attack, "_attacked", watched)
    of, given = victims(run, PLAN), []
    with pytest.raises(KeyboardInterrupt):
        given.extend(attack_cells(of))
    assert [cell.job.attack for cell in given] == ["clean", "pgd", "pgd"]
    kept = {path.name: json.loads(path.read_text()) for path in (run.path / "attack").glob("*.json")}
    partial = [values for name, values in kept.items() if name.startswith("signs")]
    assert [(values["complete"], len(values["batches"])) for values in partial] == [(False, 1)]
    assert sum(values["complete"] for values in kept.values()) == 3
    monkeypatch.setattr(
        attack, "_attacked", lambda *args: (made.append((args[1], args[2][0].item())), original(*args))[1]
    )
    cells = list(attack_cells(of))
    assert len(made) == len(set(made)) == 19
    again = list(attack_cells(victims(run, PLAN)))
    assert [c.pieces for c in again] == [c.pieces for c in cells]
    assert len(made) == 19


def test_other_settings_are_other_attacks(run):
    list(attack_cells(victims(run, dataclasses.replace(PLAN, attacks=("square",)))))
    before = len(list((run.path / "attack").glob("*.json")))
    wider = dataclasses.replace(PLAN, attacks=("square",), eps=(0.1, 0.2))
    list(attack_cells(victims(run, wider)))
    assert len(list((run.path / "attack").glob("*.json"))) == before + 2  # signs and square of the new bound
    list(attack_cells(victims(run, dataclasses.replace(wider, draws=3))))
    assert len(list((run.path / "attack").glob("*.json"))) == 2 * (before + 2)


def test_a_damaged_file_is_told(run):
    of = victims(run, dataclasses.replace(PLAN, attacks=("square",)))
    list(attack_cells(of))
    next((run.path / "attack").glob("square*.json")).write_text("{")
    with pytest.raises(CheckpointError, match="this attack is made again"):
        list(attack_cells(of))


def test_transfer_goes_both_ways(run, runs):
    other = load_run(runs[1].path)
    of = victims(run, dataclasses.replace(PLAN, attacks=("fgsm",)), other)
    cells = list(attack_cells(of))
    assert [(c.job.source, c.job.attack) for c in cells if c.job.attack == "fgsm"] == [
        (0, "fgsm"),
        (0, "fgsm"),
        (1, "fgsm"),
        (1, "fgsm"),
    ]
    images, labels = of.images.batch(torch.arange(8)), of.images.labels
    cell = cells[-1]
    made = descend(other.model, images, labels, cell.job.threat, estimator="expected", index=of.places).images
    for target, model in enumerate((run.model, other.model)):
        right = right_under(model, made, labels, draws=2, index=of.places)
        assert (cell.right(target) != right).double().mean() < 0.1
    assert not torch.equal(cell.right(0), cell.right(1))


def test_direct_coding_draws_nothing(runs, tmp_path):
    direct = load_run(copy_of(runs[2], tmp_path))
    of = victims(direct, Plan((0.1,), ("fgsm",), steps=2, images=8))
    assert of.draws == 1
    cells = list(attack_cells(of))
    assert [cell.job.estimator for cell in cells] == ["", "exact", "", "exact"]
    assert {cell.job.threat.draws for cell in cells if cell.job.along} == {1}
    assert enough_draws(of) == []
    for name in ("eot", "draws"):
        with pytest.raises(RecipeError, match=rf"--{name} 5: this model draws nothing"):
            victims(direct, Plan((0.1,), **{name: 5}))


def test_an_ann_has_one_exact_gradient_and_gives_images_to_a_spiking_network(run, tmp_path):
    """FGSM of its written-out formula, in pixels: the clip and the normalisation are part of the derivative."""
    tables = {"encoder": {"name": "expected"}, "network": {"neuron": "relu", "num_steps": 1, "norm": "none"}}
    ann = load_run(small_run(tmp_path, **tables).path)
    of = victims(ann, Plan((0.1,), ("fgsm",), steps=2, images=8), run)
    cells = [cell for cell in attack_cells(of) if cell.job.attack == "fgsm"]
    assert [(cell.job.source, cell.job.estimator) for cell in cells] == [
        (0, "exact"),
        (1, "straight_through"),
        (1, "expected"),
    ]
    images = of.images.batch(torch.arange(8)).requires_grad_()
    code = ((images - ann.model.encoder.mean) / ann.model.encoder.std / 2).clamp(-1, 1)
    logits, _ = ann.model.network.advance(code[None], None)
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits[0], of.images.labels), images)
    made = (images + 0.1 * gradient.sign()).clamp(0, 1).detach()
    found = descend(ann.model, images.detach(), of.images.labels, cells[0].job.threat, estimator="exact").images
    assert (gradient != 0).any()
    assert torch.allclose(found, made, rtol=0, atol=1e-6)
    for target, model in enumerate((ann.model, run.model)):
        assert torch.equal(
            cells[0].right(target), right_under(model, found, of.images.labels, draws=2, index=of.places)
        )


def test_refusals(run, runs, tmp_path):
    count = len(run.data.test)
    with pytest.raises(RecipeError, match=rf"--images {count + 1}: the test split of .* has {count}"):
        victims(run, dataclasses.replace(PLAN, images=count + 1))
    assert len(victims(run, dataclasses.replace(PLAN, images=None)).places) == min(500, count)
    other = load_run(small_run(tmp_path, data={"validation": 0.02}).path)
    assert victims(run, PLAN, other).subjects[1].name
    with pytest.raises(RecipeError, match="its validation images are not those of"):
        victims(run, dataclasses.replace(PLAN, split="validation"), other)
    assert not (run.path / "attack").exists()


def test_foolbox_is_asked_for_before_any_work(run, monkeypatch):
    monkeypatch.setattr("bntt.analysis.attack.descent.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"bntt\[robust\]"):
        victims(run, PLAN)
    assert victims(run, dataclasses.replace(PLAN, attacks=("square",))).jobs
