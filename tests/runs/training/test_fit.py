"""One call that trains: what the model ends with; in a directory the same bits after a stop, and only its own go on."""

import dataclasses
import json
from unittest.mock import patch

import pytest
import torch
from PIL import Image
from torch import nn

import bntt
from bntt.analysis import ArgumentError
from bntt.cli import main as cli
from bntt.data import FrameSet, ImageSet, SampleLoader, SequenceSet
from bntt.io.checkpoint import CheckpointError
from bntt.models import MODELS
from bntt.nn import BNTT, LIF, CurrentBlock, EncoderFacts, NeuronBlock, Readout, Residual, SpikingBlock, SpikingNetwork
from bntt.runs import from_python
from bntt.runs.directory import RunDirectory
from bntt.runs.from_python import builder_of
from bntt.runs.measure import measure
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.training import Distillation, EpochRecord, Method, StepRecord, updates
from tests.rows import each_row
from tests.training.test_fit import build, data, loader


def equal(one, other):
    values = other.state_dict()
    return all(torch.equal(value, values[name]) for name, value in one.state_dict().items())


def held_out():
    return SampleLoader(data(12), 6)


@each_row("average", [None, 0.5])
def test_it_trains_as_the_iterator_does_and_returns_every_record(average):
    """And where weights are averaged the model ends with the average."""
    model, twin, method = build(), build(), Method(lr=0.1, average=average)
    training = updates(twin, loader(), epochs=2, method=method, seed=5)
    expected = list(training)
    history = bntt.fit(model, loader(), epochs=2, method=method, seed=5)
    assert [one for one in history if isinstance(one, StepRecord | EpochRecord)] == expected
    assert history[-1] is history.epochs[-1] is history.best
    assert history.best.validation_loss is None
    assert equal(model, training.average if average else twin)
    assert not model.training


def test_the_model_ends_with_the_best_validated_epoch(monkeypatch):
    """Told that the second of three epochs validates best, it has the weights of a training of two."""
    method = Method(lr=0.1, schedule="constant")
    accuracies = iter([0.5, 0.9, 0.9])
    monkeypatch.setattr(bntt.analysis.accuracy.Accuracy, "mean", property(lambda self: next(accuracies)))
    model, twin = build(), build()
    history = bntt.fit(model, loader(), epochs=3, validation=held_out(), method=method)
    for _ in updates(twin, loader(), epochs=2, method=method):
        pass
    assert [epoch.best for epoch in history.epochs] == [True, True, False]
    assert history.best.epoch == 1
    assert equal(model, twin)


def test_validation_loss_is_the_mean_cross_entropy_of_the_held_out_samples():
    model = build()
    (epoch,) = (one for one in bntt.fit(model, loader(), epochs=1, validation=held_out()) if type(one) is EpochResult)
    batches, total = held_out(), 0.0
    for inputs, labels, index in batches.epoch(0):
        logits = model(inputs, index=index, draw=1 << 32)
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    assert epoch.validation_loss == pytest.approx(total / 12, rel=1e-6)


METHOD = Method(lr=0.1, schedule="constant")


def fitted(folder, model, epochs=2, **options):
    """A short training in a directory."""
    train = SampleLoader(data(), 10, shuffle=True)
    given = {"train": train, "method": METHOD, "validation": held_out(), **options}
    return bntt.fit(model, epochs=epochs, directory=folder, **given)


def unseen():
    return SampleLoader(data(9), 9)


SMALL_IMAGES = ImageSet(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.arange(3), ("a", "b", "c"))


def own(seed=0):
    """A network that no builder made."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        synapse = nn.Sequential(nn.Flatten(), nn.Linear(16, 8, bias=False))
        block = SpikingBlock(synapse, BNTT(8, num_steps=4), LIF(leak=0.9))
        network = SpikingNetwork({"fc1": block}, Readout(nn.Linear(8, 3, bias=False)))
    return poisson(network)


def poisson(network):
    return bntt.SpikingClassifier(bntt.PoissonEncoder(4, mean=[0.5], std=[0.25]), network)


def test_it_goes_on_where_it_stopped_to_the_same_bits_as_without_a_directory(tmp_path):
    outside, whole, first, second, again = build(), build(), build(), build(seed=9), build(seed=9)
    fitted(None, outside, epochs=3)
    expected = fitted(tmp_path / "whole", whole, epochs=3)
    fitted(tmp_path / "parts", first, epochs=1)
    history = fitted(tmp_path / "parts", second, epochs=3)
    assert len(fitted(tmp_path / "parts", again, epochs=3).epochs) == 3, "there is nothing left to train"
    assert all(equal(whole, one) for one in (outside, second, again))
    untimed = [[dataclasses.replace(e, seconds=0) for e in one.epochs] for one in (history, expected)]
    assert untimed[0] == untimed[1]


def test_what_rounds_goes_on_as_it_was_begun(tmp_path):
    ways = {"events": "never", "input_grad": "direct", "rectifiers": "plain"}
    first, second = build(), build()
    first.network.compute = bntt.Compute(**ways)
    fitted(tmp_path / "run", first, epochs=1)
    fitted(tmp_path / "run", second)
    begun = load_recipe(tmp_path / "run" / "recipe.toml").compute
    assert {key: getattr(begun, key) for key in ways} == ways
    assert second.network.compute == bntt.Compute()


@each_row(
    ("change", "named"),
    [
        ({"method": Method(lr=0.2, schedule="constant")}, r"train\.lr is 0\.2"),
        ({"seed": 1}, "seed is 1"),
        ({"validation": SampleLoader(data(15), 6)}, "other data"),
        ({"test": SampleLoader(data(15), 6)}, "other test samples"),
    ],
)
def test_a_directory_of_another_training_is_refused(change, named, tmp_path):
    fitted(tmp_path / "run", build(), epochs=1, test=unseen())
    with pytest.raises(CheckpointError, match=named):
        fitted(tmp_path / "run", build(), **change)
    kept = RunDirectory(tmp_path / "run")
    before = kept.best.read_bytes()
    for path in kept.checkpoints.paths():
        path.unlink()
    with pytest.raises(CheckpointError, match="run has weights"):
        fitted(kept.path, build(), **change)
    assert kept.best.read_bytes() == before


class Inverted(ImageSet):
    def batch(self, index):
        return 1 - super().batch(index)


INVERTED = Inverted(data().images, data().labels, data().classes)


@each_row(
    ("error", "named", "folder", "given"),
    [
        (ValueError, "test=", None, {"test": unseen()}),
        (ValueError, r"test samples .*\[1, 2, 2\]", "run", {"test": SampleLoader(SMALL_IMAGES, 3)}),
        (TypeError, "train must be .* got a list", "run", {"train": []}),
        (TypeError, "validation must be", "run", {"validation": [], "method": Method(freeze=["fc1"])}),
        (TypeError, "train must be .* got a Inverted", "run", {"train": SampleLoader(INVERTED, 10)}),
    ],
)
def test_samples_that_no_verb_could_measure_are_refused_and_nothing_is_changed(error, named, folder, given, tmp_path):
    model, chosen = build(), bntt.Compute(events="measured")
    model.network.compute = chosen
    with pytest.raises(error, match=named):
        fitted(folder and tmp_path / folder, model, **given)
    assert model.network.compute == chosen
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_verb_takes_it(tmp_path, capsys):
    model, run = build(), tmp_path / "run"
    fitted(run, model, test=unseen())
    for verb in ("exit", "activity", "energy", "evaluate", "log", "report"):
        assert cli.main([verb, str(run), *(["--out", str(tmp_path / "x.html")] if verb == "report" else [])]) == 0, verb
    assert cli.main(["train", str(run), "--resume"]) == 2
    assert "bntt.fit" in capsys.readouterr().err


def test_a_run_without_test_samples_is_measured_on_validation_and_chooses_nothing_there(tmp_path, capsys):
    model, run = build(), tmp_path / "run"
    fitted(run, model, epochs=1)
    assert sorted(file.name for file in (run / "data").iterdir()) == ["manifest.json", "validation.safetensors"]
    with pytest.warns(UserWarning, match="measured on validation"):
        found = measure("evaluate", run, draws=1)
    assert (found.split, found.images) == ("validation", 12)
    for flags in ([], ["--per-sample"], ["--split", "validation"]):
        assert cli.main(["exit", str(run), *flags]) == 2
        assert "test=" in capsys.readouterr().err
    before = RunDirectory(run).best.read_bytes()
    assert len(fitted(run, build(), epochs=1, test=unseen()).epochs) == 1, "there is nothing left to train"
    assert RunDirectory(run).best.read_bytes() == before
    assert (measure("exit", run, draws=1).test_images, measure("evaluate", run, draws=1).split) == (9, "test")
    fitted(run, build(), epochs=1)
    assert len(bntt.load_run(run).data.test) == 9, "they stay"


def test_without_validation_it_goes_on_and_there_is_nothing_to_measure_with(tmp_path, capsys):
    fitted(tmp_path / "run", build(), validation=None)
    latest = RunDirectory(tmp_path / "run").checkpoints.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    assert len(fitted(tmp_path / "run", build(), epochs=3, validation=None).epochs) == 3
    with pytest.raises(bntt.data.DataError, match="test="):
        _ = bntt.load_run(tmp_path / "run").data
    fitted(tmp_path / "tested", build(), validation=None, test=unseen())
    assert cli.main(["exit", str(tmp_path / "tested")]) == 3
    assert "no validation samples" in capsys.readouterr().err


@patch.dict(MODELS)
def test_a_network_of_ones_own_builder_in_float64_is_built_once_and_opened_by_name(tmp_path, monkeypatch):
    monkeypatch.setitem(bntt.register.REGISTERED, "network.name=counted", None)  # gone when the test ends
    built = []

    @bntt.register.network("counted")
    def counted(**options):
        built.append(options)
        return bntt.models.mlp(**options)

    model = poisson(counted(in_features=16, hidden=(8,), num_classes=3, num_steps=4)).double()
    fitted(tmp_path / "run", model, epochs=1, test=unseen())
    assert len(built) == 2, "once to compare"
    assert equal(bntt.load_run(tmp_path / "run").model, model)
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


def leaky():
    model = own()
    model.network.blocks["fc1"].lif = LIF(leak=0.5)
    return model


def test_a_network_put_together_is_given_again_and_keeps_its_own_ways_to_compute_and_its_samples(tmp_path):
    model, run = own(), tmp_path / "run"
    fitted(run, model, test=unseen())
    with pytest.raises(CheckpointError, match=r"model=\.\.\."):
        bntt.load_run(run)
    opened = bntt.load_run(run, model=own(seed=1))
    assert equal(opened.model, model)
    assert (opened.facts.norm, opened.facts.encoder) == ("bntt", "poisson")
    assert measure("exit", opened).steps <= 4
    with pytest.warns(UserWarning, match=r"LIF\(leak=0.5.* of .*LIF\(leak=0.9"):
        bntt.load_run(run, model=leaky())
    for override in ("compute.backend=reference", "data.root=x"):
        with pytest.raises(RecipeError, match=f"-s {override[:7]}"):
            bntt.load_run(run, model=own(), overrides=[override])
    assert bntt.load_run(run, model=own(), overrides=["evaluate.batch_size=3"]).loader("test").batch_size == 3


class Fading:
    """An encoder of a person's own."""

    num_steps, facts = 4, EncoderFacts(random=True)

    def __call__(self, x, *, draw=0, steps=None, **noise):
        return torch.stack([x / (1 + t + draw % 2) for t in bntt.nn.steps_of(steps, 4)])


@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_a_network_whose_norms_have_no_one_name_is_measured_as_any_other(tmp_path):
    first = SpikingBlock(nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), BNTT(8, 4), LIF(leak=0.9))
    body = {"body": CurrentBlock(nn.Linear(8, 8), bntt.LayerNorm(8))}
    blocks = [first, Residual(body, after=NeuronBlock(LIF(leak=0.9)))]
    model = bntt.SpikingClassifier(Fading(), SpikingNetwork(blocks, Readout(nn.Linear(8, 3))))
    fitted(tmp_path / "run", model, epochs=1, test=unseen())
    opened = bntt.load_run(tmp_path / "run", model=model)
    assert opened.facts.norm == ""
    expected = bntt.analysis.evaluate(model, unseen(), draws=1).accuracy.mean
    assert measure("evaluate", opened, draws=1).accuracy == expected
    assert measure("exit", opened).steps <= 4
    assert "block1" in measure("drift", opened, layer="block1").layers
    assert measure("evaluate", opened).draws == 5
    with pytest.raises(ArgumentError, match="--num-steps 6"):
        measure("evaluate", opened, num_steps=6, longer="hold")


@patch.dict(bntt.register.REGISTERED)
def test_a_network_put_together_is_opened_by_the_name_of_its_run_as_the_command_line_says(tmp_path, capsys):
    run = tmp_path / "mine"
    fitted(run, own(), epochs=1, test=unseen())
    bntt.register.model("mine")(lambda: own)
    assert cli.main(["exit", str(run)]) == 4
    assert "is a function" in (said := capsys.readouterr().err.replace("\n", " "))
    assert "@bntt.register.model('mine')" in said
    assert "--with my_model.py before the command" in said
    del bntt.register.REGISTERED["model=mine"]
    bntt.register.model("mine")(own)
    for verb in (["exit"], ["activity"], ["export", "--out", str(tmp_path / "mine.safetensors")]):
        assert cli.main([verb[0], str(run), *verb[1:]]) == 0, capsys.readouterr().err
    assert json.loads((run / "exit.json").read_text())["test_images"] == 9


def test_another_network_does_not_go_on_and_other_words_for_the_same_do(tmp_path, monkeypatch, capsys):
    run, another = tmp_path / ":cat: [b]", leaky()
    with monkeypatch.context() as before:  # as runs were kept that say nothing of it
        before.setattr(from_python, "_described", lambda model: {})
        fitted(run, own(), epochs=1)
    fitted(run, own(), epochs=2)
    with pytest.raises(CheckpointError, match=r"LIF\(leak=0.5.* of .*LIF\(leak=0.9"):
        fitted(run, another, epochs=3)
    assert equal(own(), another), "nothing of it was changed"
    monkeypatch.setattr(from_python, "__version__", "2.0.0")
    told = next(one.text for one in fitted(run, another, epochs=3) if isinstance(one, Notice))
    assert "LIF(leak=0.5" in told
    assert told in capsys.readouterr().err


def test_a_network_that_was_changed_is_not_what_its_builder_makes():
    """A leak that was learned is a weight."""
    model, learns = build(), bntt.models.mlp(hidden=(8,), num_steps=3, learn_leak=True)
    with torch.no_grad():
        learns.blocks["fc1"].lif.leak_logit.add_(1)
    assert builder_of(model.network)[0] == builder_of(learns)[0] == "mlp"
    model.network.blocks["fc1"].norm.eps = 0.5
    assert builder_of(model.network) is None


def test_what_a_run_does_not_keep_is_not_measured_and_what_is_yours_is_not_said_to_be_the_methods(tmp_path):
    model, run = build(), tmp_path / "run"
    own = torch.optim.SGD(model.parameters(), lr=0.3)
    fitted(run, model, method=None, optimizer=own, loss=torch.nn.functional.cross_entropy)
    with pytest.raises(bntt.data.DataError, match="no train samples"):
        measure("evaluate", run, split="train")
    assert {"SGD.", "cross_entropy."} < {*load_recipe(run / "recipe.toml").notes.split()}
    with pytest.raises(CheckpointError, match="cross_entropy"):
        fitted(run, model, method=None, optimizer=own)
    fitted(tmp_path / "taught", build(), epochs=1, loss=Distillation(model))
    assert "Distillation(" in load_recipe(tmp_path / "taught" / "recipe.toml").notes
    found = measure("evaluate", run, split="validation")
    assert (found.gamma_floor, found.training_images) == (None, len(data()))


def test_sequences_keep_their_order_and_features_leave_without_pictures(tmp_path, rng, capsys):
    features = FrameSet(torch.rand(12, 4, 5, generator=rng), torch.arange(12) % 3, ("a", "b", "c"))
    for samples, size, run in ((SequenceSet(data(), "rows"), 4, tmp_path / "rows"), (features, 5, tmp_path / "own")):
        net = bntt.models.mlp(in_features=size, hidden=(6,), num_classes=3, num_steps=4)
        model, loader = (
            bntt.SpikingClassifier(bntt.SequenceEncoder(4, mean=0.5, std=0.25), net),
            SampleLoader(samples, 6),
        )
        bntt.fit(model, loader, epochs=1, validation=loader, test=loader, directory=run)
        opened = bntt.load_run(run)
        assert equal(opened.model, model)
        expected = bntt.analysis.evaluate(model, loader, draws=1).accuracy.mean
        assert measure("evaluate", opened, split="validation").accuracy == expected
    assert cli.main(["export", str(run)]) == 0
    Image.new("L", (5, 4)).save(tmp_path / "a.png")
    capsys.readouterr()
    assert cli.main(["predict", str(tmp_path / "a.png"), "--run", str(run)]) == 2
    assert "was trained on sequences" in capsys.readouterr().err


class Louder(bntt.PoissonEncoder):
    """An encoder with a setting that it does not print, and counts that training moves."""

    def forward(self, images, **call):
        self.calls += 1
        return self.gain * super().forward(images, **call)


def encoded(encoder, **settings):
    vars(encoder).update(settings)
    return bntt.SpikingClassifier(encoder, own().network)


def louder(gain):
    return encoded(Louder(4, mean=[0.5], std=[0.25]), gain=gain, calls=0)


def hooked(model):
    model.encoder.register_forward_hook(lambda encoder, args, drawn: -drawn)
    return model


@pytest.mark.parametrize(
    ("begun", "other", "named"),
    [
        (own, lambda: hooked(own()), "touched"),
        (lambda: louder(1.0), lambda: louder(2.0), r"encoder\.gain"),
        (own, lambda: encoded(bntt.PoissonEncoder(4, mean=[0.25], std=[0.25])), r"encoder\.mean"),
    ],
)
def test_what_a_model_does_not_print_stays_as_it_began(begun, other, named, tmp_path, monkeypatch):
    fitted(tmp_path / "run", model := begun(), epochs=1, test=unseen())
    fitted(tmp_path / "run", model, epochs=2)  # what training moved, such as counts, is not compared
    fitted(tmp_path / "run", begun(), epochs=3)
    with pytest.raises(CheckpointError, match=named):
        fitted(tmp_path / "run", other(), epochs=4)
    if "mean" in named:  # which comes from the weights' file
        assert bntt.load_run(tmp_path / "run", model=other()).model.encoder.mean == 0.5
    else:
        with pytest.warns(UserWarning, match=named):
            bntt.load_run(tmp_path / "run", model=other())
    assert bntt.load_run(tmp_path / "run", model=begun()).epoch < 3  # a warning would be an error
    described = from_python._described
    with monkeypatch.context() as before:  # as runs were kept that say nothing of it
        before.setattr(from_python, "_described", lambda model: {**described(model), "values": {}})
        fitted(tmp_path / "before", begun(), epochs=1)
    assert len(fitted(tmp_path / "before", other(), epochs=2).epochs) == 2


def test_a_hook_that_a_loaded_run_lacks_is_told(tmp_path):
    fitted(tmp_path / "run", hooked(build()), epochs=1)
    with pytest.warns(UserWarning, match="own on encoder is missing"):
        assert not bntt.load_run(tmp_path / "run").model.encoder._forward_hooks


def test_a_network_with_answers_of_its_own_is_trained_and_not_measured_by_other_answers(tmp_path):
    model, train = build(), SampleLoader(data(), 10)
    model.network.register_forward_hook(lambda network, args, logits: -logits)
    for given in ({"validation": train}, {"test": train, "directory": tmp_path / "run"}):
        with pytest.raises(TypeError, match="network has a hook"):
            bntt.fit(model, train, epochs=1, **given)
    assert len(bntt.fit(model, train, epochs=1).epochs) == 1


def test_a_script_is_told_of_every_epoch_unless_it_asks_for_quiet(capsys):
    for quiet, lines in ((False, ["epoch 1/2", "epoch 2/2"]), (True, [])):
        bntt.fit(build(), SampleLoader(data(), 4), epochs=2, quiet=quiet)
        assert [line.partition("  ")[0] for line in capsys.readouterr().err.splitlines()] == lines
