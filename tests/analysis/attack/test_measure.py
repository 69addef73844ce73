"""A run under attack: what is measured, transfer, going on after a stop, and what is refused before any work."""

import dataclasses
import json

import pytest
import torch

from bntt.analysis import evaluate
from bntt.analysis.attack import measure
from bntt.analysis.attack.descent import descend
from bntt.analysis.attack.fresh_noise import right_under
from bntt.analysis.attack.measure import cell_path, enough_draws, measure_attack, outcomes, set_up
from bntt.analysis.attack.measurement import AttackArguments
from bntt.analysis.attack.outcome import Job
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import SampleLoader, stratified
from bntt.data.samples import how_chosen
from bntt.io.checkpoint import CheckpointError
from bntt.runs.open_run import load_run
from tests.runs.measured import copy_of, small_run

ASKED = AttackArguments(("0.1",), ("fgsm", "square"), steps=2, eot=2, queries=4, images=8, draws=2)


def done(setup):
    return list(outcomes(setup, Progress()))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return small_run(root), small_run(root, network={"norm": "bn"}), small_run(root, encoder={"name": "direct"})


@pytest.fixture
def run(runs, tmp_path):
    return load_run(copy_of(runs[0], tmp_path))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(measure, "BATCH", 3)
    monkeypatch.setattr(measure, "CONTROL_IMAGES", 4)
    monkeypatch.setattr(measure, "SWEEP", (1, 2))
    monkeypatch.setattr(measure, "SWEEP_IMAGES", 3)


def test_every_attack_of_every_image(run):
    setup, progress = set_up([run], ASKED), Progress()
    sweep = enough_draws(setup, progress)
    cells = list(outcomes(setup, progress))
    assert progress.done == setup.total
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
    assert [len(cell.batches) for cell in cells] == [3, 2, 2, 3, 3, 3, 3]
    assert [(row.draws, row.estimator) for row in sweep] == [
        (n, name) for name in ("straight_through", "expected") for n in (1, 2)
    ]
    assert all(0.5 < row.sign_agreement <= 1 for row in sweep)
    assert all(cell.change <= cell.job.eps + 1e-7 for cell in cells)
    assert cells[-1].queries <= 4


def test_images_and_noise_are_those_of_an_evaluation(run):
    """The clean images are counted as evaluate counts them, since each has its own place's noise."""
    setup, every = set_up([run], ASKED), run.data.test
    places = setup.places
    assert torch.equal(places.sort().values, stratified(every, 8, run.recipe.seed))
    assert torch.equal(places[:3].sort().values, stratified(every, 3, run.recipe.seed)), "a control's few are fair too"
    assert setup.chosen == how_chosen(every, 8, run.recipe.seed)
    clean = done(setup)[0]
    index, labels = torch.arange(len(every)), every.labels
    whole = right_under(run.model, every.batch(index), labels, draws=2, index=index)
    assert torch.equal(clean.right(0), whole[:, places])
    shares = evaluate(run.model, SampleLoader(every, 250), draws=2).accuracy.per_draw
    assert whole.double().mean(1).tolist() == pytest.approx(list(shares))


def test_an_attack_is_the_librarys(run):
    setup = set_up([run], ASKED)
    cell = next(c for c in done(setup) if (c.job.attack, c.job.estimator) == ("fgsm", "expected"))
    images, labels = setup.images.batch(torch.arange(8)), setup.images.labels
    found = descend(run.model, images, labels, cell.job.threat, estimator="expected", index=setup.places)
    right = right_under(run.model, found.images, labels, draws=2, index=setup.places)
    assert (cell.right(0) != right).double().mean() < 0.1  # other batches round otherwise, and a sign may turn
    assert cell.agreement == pytest.approx(float(found.agreement.mean()), abs=1e-3)


def test_what_was_interrupted_goes_on_where_it_stopped(run, monkeypatch):
    """Fault 95: every batch is kept, none is made twice, and what is not complete says so and is not given."""
    made, original = [], measure._attacked

    def watched(setup, job, rows):
        if len(made) == 8:
            raise KeyboardInterrupt
        made.append((job, rows[0].item()))
        return original(setup, job, rows)

    monkeypatch.setattr(measure, "_attacked", watched)
    setup, given = set_up([run], ASKED), []
    with pytest.raises(KeyboardInterrupt):
        given.extend(outcomes(setup, Progress()))
    assert [cell.job.attack for cell in given] == ["clean", "pgd", "pgd"]
    kept = {path.name: json.loads(path.read_text()) for path in (run.path / "attack").glob("*.json")}
    partial = [values for name, values in kept.items() if name.startswith("signs")]
    assert [(values["complete"], len(values["batches"])) for values in partial] == [(False, 1)]
    assert sum(values["complete"] for values in kept.values()) == 3
    monkeypatch.setattr(
        measure, "_attacked", lambda *args: (made.append((args[1], args[2][0].item())), original(*args))[1]
    )
    cells = done(setup)
    assert len(made) == len(set(made)) == 19
    again = done(set_up([run], ASKED))
    assert [c.batches for c in again] == [c.batches for c in cells]
    assert len(made) == 19


def test_other_settings_are_other_attacks(run):
    done(set_up([run], dataclasses.replace(ASKED, attack=("square",))))
    before = len(list((run.path / "attack").glob("*.json")))
    wider = dataclasses.replace(ASKED, attack=("square",), eps=("0.1", "0.2"))
    done(set_up([run], wider))
    assert len(list((run.path / "attack").glob("*.json"))) == before + 2  # signs and square of the new bound
    done(set_up([run], dataclasses.replace(wider, draws=3)))
    assert len(list((run.path / "attack").glob("*.json"))) == 2 * (before + 2)


def test_a_damaged_file_is_told(run):
    setup = set_up([run], dataclasses.replace(ASKED, attack=("square",)))
    done(setup)
    next((run.path / "attack").glob("square*.json")).write_text("{")
    with pytest.raises(CheckpointError, match="it is computed again"):
        done(setup)


def test_transfer_goes_both_ways(run, runs):
    other = load_run(runs[1].path)
    setup = set_up([run, other], dataclasses.replace(ASKED, attack=("fgsm",)))
    cells = done(setup)
    assert [(c.job.source, c.job.attack) for c in cells if c.job.attack == "fgsm"] == [
        (0, "fgsm"),
        (0, "fgsm"),
        (1, "fgsm"),
        (1, "fgsm"),
    ]
    images, labels = setup.images.batch(torch.arange(8)), setup.images.labels
    cell = cells[-1]
    made = descend(other.model, images, labels, cell.job.threat, estimator="expected", index=setup.places).images
    for target, model in enumerate((run.model, other.model)):
        right = right_under(model, made, labels, draws=2, index=setup.places)
        assert (cell.right(target) != right).double().mean() < 0.1
    assert not torch.equal(cell.right(0), cell.right(1))


def test_direct_coding_draws_nothing(runs, tmp_path):
    direct = load_run(copy_of(runs[2], tmp_path))
    setup = set_up([direct], AttackArguments(("0.1",), ("fgsm",), steps=2, images=8))
    assert setup.draws == 1
    cells = done(setup)
    assert [cell.job.estimator for cell in cells] == ["", "exact", "", "exact"]
    assert {cell.job.threat.draws for cell in cells if cell.job.threat} == {1}
    assert enough_draws(setup, Progress()) == []
    for name in ("eot", "draws"):
        with pytest.raises(ArgumentError, match=rf"--{name} 5: this model draws nothing"):
            set_up([direct], AttackArguments(("0.1",), **{name: 5}))


def test_an_ann_has_one_exact_gradient_and_gives_images_to_a_spiking_network(run, tmp_path):
    """FGSM of its written-out formula, in pixels: the clip and the normalisation are part of the derivative."""
    tables = {"encoder": {"name": "expected"}, "network": {"neuron": "relu", "num_steps": 1, "norm": "none"}}
    ann = load_run(small_run(tmp_path, **tables).path)
    setup = set_up([ann, run], AttackArguments(("0.1",), ("fgsm",), steps=2, images=8))
    cells = [cell for cell in done(setup) if cell.job.attack == "fgsm"]
    assert [(cell.job.source, cell.job.estimator) for cell in cells] == [
        (0, "exact"),
        (1, "straight_through"),
        (1, "expected"),
    ]
    images = setup.images.batch(torch.arange(8)).requires_grad_()
    code = ((images - ann.model.encoder.mean) / ann.model.encoder.std / 2).clamp(-1, 1)
    logits, _ = ann.model.network.advance(code[None], None)
    (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits[0], setup.images.labels), images)
    made = (images + 0.1 * gradient.sign()).clamp(0, 1).detach()
    found = descend(ann.model, images.detach(), setup.images.labels, cells[0].job.threat, estimator="exact").images
    assert (gradient != 0).any()
    assert torch.allclose(found, made, rtol=0, atol=1e-6)
    for target, model in enumerate((ann.model, run.model)):
        assert torch.equal(
            cells[0].right(target), right_under(model, found, setup.images.labels, draws=2, index=setup.places)
        )


def test_refusals(run, runs, tmp_path):
    count = len(run.data.test)
    with pytest.raises(ArgumentError, match=rf"--images {count + 1}: the test split of .* has {count}"):
        set_up([run], dataclasses.replace(ASKED, images=count + 1))
    assert len(set_up([run], dataclasses.replace(ASKED, images=None)).places) == min(500, count)
    other = load_run(small_run(tmp_path, data={"validation": 0.02}).path)
    assert set_up([run, other], ASKED).targets[1].name
    with pytest.raises(ArgumentError, match="its validation images are not those of"):
        set_up([run, other], dataclasses.replace(ASKED, split="validation"))
    with pytest.raises(ArgumentError, match="is given twice: name each run once"):
        set_up([run, run], ASKED)
    assert not (run.path / "attack").exists()


def test_foolbox_is_asked_for_before_any_work(run, monkeypatch):
    monkeypatch.setattr("bntt.analysis.attack.descent.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"bntt\[robust\]"):
        set_up([run], ASKED)
    assert set_up([run], dataclasses.replace(ASKED, attack=("square",))).jobs


def test_the_record_says_what_was_measured(run):
    found = measure_attack([run], dataclasses.replace(ASKED, attack=("square",)), Progress())
    assert (found.arguments.attack, found.dataset, found.split) == (("square",), run.dataset, "test")
    assert (found.classes, found.chosen) == (10, how_chosen(run.data.test, 8, run.recipe.seed))
    assert [(model.name, model.randomness) for model in found.models] == [("copy", "redrawn")]
    assert found.models[0].weights_sha256 == run.weights_sha256
    assert [row.attack for row in found.found] == ["signs", "square", "worst case"]


def test_other_settings_have_another_name(tmp_path):
    job, settings = Job(0, "pgd", 8 / 255, "expected"), {"attack": "pgd", "eps": 0.1}
    one, other = cell_path(tmp_path, job, settings), cell_path(tmp_path, job, settings | {"eps": 0.2})
    assert one != other
    assert one.name == "pgd-expected-8-796ee6b6f622.json"
    assert cell_path(tmp_path, job, dict(reversed(settings.items()))) == one
