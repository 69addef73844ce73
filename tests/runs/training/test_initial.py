"""Trainings that begin with a trained network or an ANN, and layers that are not trained."""

import dataclasses
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bntt.analysis import evaluate
from bntt.cli import main as cli
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.io.checkpoint import CheckpointError, read_facts
from bntt.models import PRETRAINED, mlp, pretrained, pretrained_facts
from bntt.nn import DirectEncoder, PoissonEncoder, SpikingClassifier
from bntt.nn.network.fold import retime
from bntt.runs.directory import RunDirectory, new_run_directory, restore_thresholds
from bntt.runs.evaluation import evaluate_run
from bntt.runs.identity import weights_hash
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training.epoch_log import Notice
from bntt.runs.training.requests import Interrupted, Requests
from bntt.runs.training.start import build_session, load_initial_weights, load_teacher, open_ann, resumes_in
from bntt.runs.training.train import train_run
from bntt.training import Processes, balance, convert, distilled, thresholds_of
from bntt.training.objective import BatchLoss
from tests.checking import THREADS
from tests.rows import each_row
from tests.runs import tiny
from tests.runs.tiny import assert_same, parts, recipe, stopped, trained
from tests.trained import trained_run

EXPECTED = {"encoder": {"name": "expected"}}


@pytest.fixture(scope="module")
def source():
    return trained_run().path


def taken(source, classes=None, **tables):
    """A model of other tables, and the trained one."""
    of = recipe(**{"init": {"run": str(source), **tables.pop("init", {})}, **tables})
    data = parts(of)
    model = build_model(of, data)
    fresh = {name: value.clone() for name, value in model.network.state_dict().items()}
    said = load_initial_weights(of, model, data.train.classes if classes is None else classes)
    return model.network.state_dict(), fresh, load_run(source), said


def test_the_weights_of_a_run_and_for_other_classes_a_new_last_layer(source):
    found, _, run, said = taken(source)
    torch.testing.assert_close(found, run.model.network.state_dict(), rtol=0, atol=0)
    own = {"run": str(source), "epoch": run.epoch + 1, "weights_sha256": run.weights_sha256, "changed": ""}
    assert said == own | RunDirectory(source).training_cost()
    other, fresh, _, said = taken(source, classes=[str(i) for i in range(10)])
    last = "readout.synapse.weight"
    assert torch.equal(other.pop(last), fresh[last])
    torch.testing.assert_close(other, {name: value for name, value in found.items() if name != last})
    assert "10 other classes" in said["changed"]


@each_row("steps, longer, how", [(2, "hold", "truncate"), (5, "hold", "hold"), (5, "interpolate", "interpolate")])
def test_another_number_of_steps(steps, longer, how, source):
    found, _, run, said = taken(source, init={"longer": longer}, network={"num_steps": steps})
    torch.testing.assert_close(found, retime(run.model.network, steps, how).state_dict(), rtol=0, atol=0)
    assert f"T is {steps}, it was 3 ({how})" in said["changed"]


MAY_SHARE = "it may have trained on images that validate here"


@each_row(
    ("tables", "told"),
    [
        ({"network": {"threshold": 2.0, "reset": "hard"}}, ["threshold is 2.0", "reset is hard"]),
        ({"data": {"validation": 0.02}}, [MAY_SHARE]),
        ({**EXPECTED, "network": {"neuron": "relu", "num_steps": 1}}, ["neuron is relu", "T is 1"]),
    ],
)
def test_what_is_other_than_the_weights_show_is_told(tables, told, source):
    *_, said = taken(source, **tables)
    assert [part.partition(":")[0].partition(",")[0] for part in said["changed"].split("; ")[1:]] == told


@each_row("name", [name for name in PRETRAINED if pretrained_facts(name).bundled_test])
def test_every_pretrained_network_of_images(name):
    """Each begins a training of its own recipe, on the images that the package has; they may validate there."""
    of = load_recipe(name, ["data.name=fashion-mnist-bundled", f"init.pretrained={name}"])
    model = build_model(of, data := build_data(of))
    for seed, dataset, told in ((0, "fashion-mnist", False), (1, "fashion-mnist", True), (0, of.data.name, True)):
        same = replace(of, seed=seed, data=replace(of.data, name=dataset))
        assert (MAY_SHARE in load_initial_weights(same, model, data.train.classes)["changed"]) == told
    torch.testing.assert_close(model.network.state_dict(), pretrained(name).network.state_dict(), rtol=0, atol=0)


ANN = {**EXPECTED, "network": {"neuron": "relu", "num_steps": 1, "norm": "bn-pooled"}}


@pytest.fixture(scope="module")
def anns(tmp_path_factory):
    """An ANN by the name of its norm."""

    def of(norm):
        ann = recipe(**{**ANN, "network": {**ANN["network"], "norm": norm}})
        return trained(ann, parts(ann), tmp_path_factory.mktemp(norm))[0].path

    return {norm: of(norm) for norm in ("bntt", "bn-pooled", "none")}


@each_row(
    "norm, into, left",
    [
        ("bntt", "bntt", ""),
        ("bn-pooled", "bntt", ", its β is left out"),
        ("bn-pooled", "bn-pooled", ""),
        ("bntt", "tebn", ""),
    ],
)
def test_an_ann_gives_its_weights_and_its_norm_to_every_step(anns, norm, into, left):
    found, fresh, run, said = taken(anns[norm], network={"norm": into, "learn_leak": True})
    ann = run.model.network.state_dict()
    for name, value in found.items():
        part = name.rpartition(".")[2]
        built = part in ("step_scale", "leak_logit") or (part == "beta" and norm == "bntt")
        assert torch.equal(value, fresh[name] if built else ann[name].expand_as(value)), name
    assert not torch.equal(found["blocks.conv1.norm.running_var"], fresh["blocks.conv1.norm.running_var"])
    assert said["changed"].endswith(f"those of every step{left}")


@each_row(
    ("norm", "network", "named"),
    [
        ("none", {}, r"norm\.gamma"),
        ("bntt", {"width": 0.25}, "conv1"),
        ("", {"width": 0.25}, "conv1"),
        ("", {"norm": "bn"}, "another network"),
    ],
)
def test_what_a_network_does_not_have_cannot_be_taken(norm, network, named, anns, source):
    with pytest.raises(RecipeError, match=named):
        taken(anns[norm] if norm else source, network=network)


def test_the_time_of_what_it_began_with_is_counted(anns, tmp_path):
    of, ann = recipe(init={"run": str(anns["bn-pooled"])}, train={"epochs": 1}), RunDirectory(anns["bn-pooled"])
    run, _ = trained(of, data := parts(of), tmp_path)
    result, cost = evaluate_run(of, data, run), ann.training_cost()
    assert (result.begun_with.run, result.begun_with.updates) == (ann.path.name, cost["updates"])
    assert result.updates == run.training_cost()["updates"] != cost["updates"], "its own"
    assert result.begun_with.weights_sha256 == weights_hash(ann)
    third = taken(run.path)[-1]
    assert third["updates"] == run.training_cost()["updates"] + cost["updates"], "with what that one began with"


def test_the_ann_can_teach_what_it_begins_and_goes_on_after_a_stop(anns, tmp_path):
    """Its answers are the loss, beside the labels' with smoothing; another ANN in its place is refused."""
    ann = tmp_path / "ann"
    shutil.copytree(anns["bn-pooled"], ann)
    begins = {"run": str(ann), "distil": 0.25, "temperature": 3.0}
    of = recipe(init=begins, train={"epochs": 1, "label_smoothing": 0.1})
    run, _ = trained(of, data := parts(of), tmp_path)
    told = read_facts(run.checkpoints.latest().path)["session"]["loss"]
    assert "Distillation(share=0.25, temperature=3.0, teacher " in told
    folder = stopped(of, data, tmp_path, records=2)
    list(train_run(of, data, folder, resume=True))
    assert_same(run, folder)
    first = build_session(of, data, Processes())
    load_initial_weights(of, first.model, data.train.classes)
    loss, other = (BatchLoss(first.model, of.train, of.seed, own) for own in (first.loss, None))
    batch = next(iter(first.loader))
    mixed, alone = (one(*batch, draw=0, steps=3)[0].item() for one in (loss, other))
    logits, answers = (one(batch[0], seed=of.seed, index=batch[2]) for one in (first.model, load_run(ann).model.eval()))
    assert mixed == pytest.approx(0.75 * alone + 0.25 * distilled(logits, answers, 3.0).item(), rel=1e-4)
    folder = stopped(of, data, tmp_path, records=2)
    shutil.rmtree(ann)
    with pytest.raises(CheckpointError, match=r"init\.distil: .*ann"):
        list(train_run(of, data, folder, resume=True))
    shutil.copytree(trained(recipe(**ANN, train={"lr": 0.1}), data, tmp_path)[0].path, ann)
    with pytest.raises(CheckpointError, match="Distillation"):
        list(train_run(of, data, folder, resume=True))


def test_who_cannot_teach(source):
    of = recipe(init={"run": str(source), "distil": 0.5})
    data, third = parts(of), Processes()
    third.rank, third.on_rank0 = 2, lambda work: work().replace("teacher ", "teacher another ")
    others = replace(data.train, classes=tuple(f"{name}s" for name in data.train.classes))
    small = replace(data.train, images=data.train.images[..., :20])
    for train, processes, named in (
        (others, Processes(), "other classes"),
        (small, Processes(), "cannot take"),
        (data.train, third, "process 2"),
    ):
        with pytest.raises(RecipeError, match=rf"init\.distil: .*{named}"):
            load_teacher(of, replace(data, train=train), processes)


def test_a_frozen_layer_stays_and_the_others_learn(source, tmp_path):
    """With an average of the weights, which begins there too; decay does not move what is frozen."""
    train = {"epochs": 1, "freeze": ["conv*"], "average": 0.5}
    of = recipe(init={"run": str(source)}, train=train)
    run, _ = trained(of, parts(of), tmp_path)
    before, after = (load_run(path).model.network for path in (source, run.path))
    for name, block in before.blocks.items():
        other, frozen = after.blocks[name], name.startswith("conv")
        assert torch.equal(block.synapse.weight, other.synapse.weight) == frozen, name
        assert torch.equal(block.norm.gamma, other.norm.gamma) == frozen, name
        assert not torch.equal(block.norm.running_mean, other.norm.running_mean), name
    assert read_facts(run.best)["init"]["weights_sha256"] == load_run(source).weights_sha256


@pytest.mark.slow
def test_init_from_the_command_line(tmp_path, capsys):
    """A run that goes on does not begin with it again; other words are refused."""
    settings = ("network.width=1", "network.num_steps=2", "data.images=200", "train.epochs=1", "evaluate.images=20")
    small = [part for setting in settings for part in ("-s", setting)] + ["--root", str(tmp_path)]
    assert cli.main(["train", "demo", *small, "--init", "pretrained", "fashion-mnist-vgg6"]) == 0
    told = "weights are those of fashion-mnist-vgg6"
    assert capsys.readouterr().out.count(told) == 1
    assert cli.main(["train", str(tmp_path / "demo"), "--resume", "-s", "train.epochs=2"]) == 0
    assert told not in capsys.readouterr().out
    assert read_facts(tmp_path / "demo" / "checkpoints" / "best.safetensors")["init"]["pretrained"]
    assert cli.main(["train", "demo", *small, "--init", "one", "two"]) == 2
    assert cli.main(["train", "demo", *small, "--init", str(tmp_path / "none")]) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["demo"], "no directory is left behind"


CONVERTIBLE = {
    "encoder": {"name": "expected"},
    "network": {"neuron": "relu", "num_steps": 1, "norm": "none", "width": 0.25},
    "train": {"epochs": 2, "lr": 0.05},
}


def becoming(ann, *, convert=None, train=None, network=None, **tables):
    """The recipe of a network that begins with this run."""
    return tiny.recipe(
        encoder={"name": "poisson"},
        network={"num_steps": 20, "norm": "none", "width": 0.25, "leak": 1.0, **(network or {})},
        convert={"ann": str(ann.path), "images": 30, "steps": 40, "grid_images": 30, **(convert or {})},
        train=train or {"epochs": 0},
        **tables,
    )


@pytest.fixture(scope="module")
def ann(tmp_path_factory):
    of = recipe(**CONVERTIBLE)
    return trained(of, parts(of), tmp_path_factory.mktemp("ann"))[0]


@pytest.fixture(scope="module")
def converted(ann, tmp_path_factory):
    recipe = becoming(ann, convert={"scale": "validation", "grid": [0.5, 1.0]})
    data, run = tiny.parts(recipe), new_run_directory("tiny", tmp_path_factory.mktemp("converted"))
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    return recipe, data, run, list(train_run(recipe, data, run))


def test_it_is_what_the_library_makes_of_the_ann(converted, ann):
    recipe, data, run, told = converted
    assert all(isinstance(one, Notice) for one in told)
    kept = read_facts(run.best)["conversion"]
    network = convert(load_run(ann.path).model.network)
    encoder = PoissonEncoder(40, mean=data.mean, std=data.std)
    images = SampleLoader(some_of(data.train, 30, recipe.seed), 250)
    found = balance(network, encoder, images, scale=kept["scale"], seed=recipe.seed)
    loaded = load_run(run.path)
    assert found == kept["thresholds"] == thresholds_of(loaded.model.network)
    assert len(set(found.values())) == len(found)
    weights = load_run(ann.path).model.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in loaded.model.network.state_dict().items())
    model = SpikingClassifier(PoissonEncoder(20, mean=data.mean, std=data.std), network)
    alone = evaluate(model, SampleLoader(data.test, 250), seed=recipe.seed, draws=2)
    result = evaluate_run(recipe, data, run)
    assert alone.accuracy.per_draw == result.accuracy_per_draw
    assert (result.updates, result.conversion.ann.updates, result.conversion.ann.run) == (0, 2 * 3, str(ann.path))
    assert [scale for scale, _ in kept["tried"]] == [1.0, 0.5]
    best = max(accuracy for _, accuracy in kept["tried"])
    assert kept["scale"] == max(scale for scale, accuracy in kept["tried"] if accuracy == best)


def test_the_directory_is_that_of_a_run(converted, ann):
    recipe, data, run, _ = converted
    assert not resumes_in(run, recipe), "the same conversion may be made again"
    with pytest.raises(CheckpointError, match="seed is 7"):
        resumes_in(run, dataclasses.replace(recipe, seed=7))
    (row,) = run.rows()
    assert (row["epoch"], row["updates"]) == (0, 0)
    assert row["validation_accuracy"] == read_facts(run.best)["validation_accuracy"]
    assert row["firing_rate"].keys() >= {"conv1", "fc1"}
    assert ann.rows()[0]["firing_rate"] == ann.rows()[0]["gamma"] == {}
    with pytest.raises(RecipeError, match=r"evaluate\.images"):
        evaluate_run(tiny.edited(recipe, evaluate={"images": 61}), data, run)


@pytest.mark.slow
def test_a_hybrid_is_trained_from_there_and_goes_on_after_a_stop(ann, tmp_path):
    train = {"epochs": 2, "optimizer": "adam", "lr": 1e-3, "average": 0.5}
    recipe = becoming(ann, network={"num_steps": 4, "leak": 0.9}, convert={"scale": 0.7}, train=train)
    data = tiny.parts(recipe)
    whole, epochs = tiny.trained(recipe, data, tmp_path / "whole")
    assert [epoch.updates for epoch in epochs] == [3, 6]
    loaded, kept = load_run(whole.path), read_facts(whole.best)["conversion"]
    assert thresholds_of(loaded.model.network) == kept["thresholds"]
    weights = load_run(ann.path).model.network.blocks["conv1"].synapse.weight
    assert 0 < (loaded.model.network.blocks["conv1"].synapse.weight - weights).abs().max() < 0.05
    halted = tiny.stopped(recipe, data, tmp_path)
    list(train_run(recipe, data, halted, resume=True))
    one, other = (run.checkpoints.latest().checkpoint for run in (whole, halted))
    assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())
    assert other.facts["conversion"]["thresholds"] == kept["thresholds"]
    assert evaluate_run(recipe, data, halted).conversion.scale == 0.7


def test_the_first_validation_of_a_hybrid_is_that_of_the_converted_network(ann, tmp_path):
    """Untrained, at rate 0, the hybrid is the conversion; a wish to stop one ends it between two batches."""
    hybrid = becoming(ann, train={"epochs": 1, "lr": 0.0, "optimizer": "sgd"})
    data, run = tiny.parts(hybrid), new_run_directory("alone", tmp_path)
    _, (epoch,) = tiny.trained(hybrid, data, tmp_path)
    with pytest.raises(Interrupted, match="SIGTERM"):
        list(train_run(becoming(ann), data, run, requests=Requests(stop=signal.SIGTERM)))
    assert not run.best.exists()
    list(train_run(becoming(ann), data, run))
    assert epoch.validation_accuracy == run.rows()[0]["validation_accuracy"]


@each_row(
    ("tables", "named"),
    [
        ({"convert": {"ann": "nowhere"}}, r"convert\.ann: nowhere"),
        ({"network": {"width": 0.5}}, r"network\.width"),
        ({"network": {"name": "mlp"}}, r"network\.name"),
        ({"seed": 1}, "seed"),
        ({"data": {"validation": 0.2}}, r"data\.validation"),
        ({"data": {"images": 30}}, r"data\.images"),
        ({"encoder": {"name": "direct"}}, r"encoder\.name"),
    ],
)
def test_an_ann_that_does_not_fit_is_refused(tables, named, ann):
    seed = tables.get("seed", 0)
    of = tiny.edited(becoming(ann), **({} if seed else tables))
    with pytest.raises(RecipeError, match=named):
        open_ann(dataclasses.replace(of, seed=seed))


def test_a_spiking_network_is_no_ann_and_a_dead_layer_is_told_as_the_recipes_fault(ann, converted, tmp_path):
    with pytest.raises(RecipeError, match=r"network\.neuron"):
        open_ann(becoming(converted[2]))
    recipe = becoming(ann, convert={"steps": 1, "images": 1})
    with pytest.raises(RecipeError, match=r"convert: .* layer '\w+'"):
        list(train_run(recipe, tiny.parts(recipe), new_run_directory("dead", tmp_path)))


def test_thresholds_come_back_with_the_weights_or_it_is_an_error():
    def model():
        return SpikingClassifier(DirectEncoder(2), mlp(in_features=4, hidden=(3, 3), num_steps=2, norm="none"))

    of = tiny.recipe(network={"norm": "none", "leak": 1.0}, convert={"ann": "there"})
    facts = {"conversion": {"thresholds": {"fc1": 2.0, "fc2": 3.0}}}
    for wanted, expected in ((of, {"fc1": 2.0, "fc2": 3.0}), (tiny.recipe(), {"fc1": 1.0, "fc2": 1.0})):
        restore_thresholds(made := model(), wanted, facts, Path("best"))
        assert thresholds_of(made.network) == expected
    for damaged in ({}, {"conversion": {}}, {"conversion": {"thresholds": {"fc1": 2.0}}}, {"conversion": None}):
        with pytest.raises(CheckpointError, match="best cannot be used"):
            restore_thresholds(model(), of, damaged, Path("best"))
