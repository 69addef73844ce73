"""A directory of one network is not continued with another one, and runs that say less of theirs are."""

import json

import pytest
import torch
from PIL import Image

import bntt
from bntt.cli import main as cli
from bntt.data import FrameSet, SampleLoader
from bntt.io.checkpoint import CheckpointError
from bntt.nn import LIF
from bntt.runs import from_python
from bntt.runs.directory import RunDirectory
from bntt.runs.from_python import builder_of
from bntt.runs.measure import measure
from bntt.runs.recipe.file import RecipeError, load_recipe
from bntt.runs.training.epoch_log import Notice
from bntt.training import Distillation
from tests.runs.training.test_fit_directory import equal, fitted, own, unseen
from tests.training.test_fit import build, data


def test_another_network_does_not_go_on_and_other_words_for_the_same_do(tmp_path, monkeypatch, capsys):
    run, another = tmp_path / ":cat: [b]", own()
    another.network.blocks["fc1"].lif = LIF(leak=0.5)
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


def test_a_network_put_together_keeps_its_own_ways_to_compute_and_its_samples(tmp_path):
    fitted(tmp_path / "run", own(), epochs=1, test=unseen())
    for override in ("compute.backend=reference", "data.root=x"):
        with pytest.raises(RecipeError, match=f"-s {override[:7]}"):
            bntt.load_run(tmp_path / "run", model=own(), overrides=[override])
    opened = bntt.load_run(tmp_path / "run", model=own(), overrides=["evaluate.batch_size=3"])
    assert opened.loader("test").batch_size == 3


def test_a_network_that_was_changed_is_not_what_its_builder_makes():
    model = build()
    assert builder_of(model.network)[0] == "mlp"
    model.network.blocks["fc1"].norm.eps = 0.5
    assert builder_of(model.network) is None
    learns = bntt.models.mlp(hidden=(8,), num_steps=3, learn_leak=True)
    with torch.no_grad():
        learns.blocks["fc1"].lif.leak_logit.add_(1)
    assert builder_of(learns)[0] == "mlp", "a leak that was learned is a weight"


def test_what_a_run_does_not_keep_is_not_measured_and_what_is_yours_is_not_said_to_be_the_methods(tmp_path):
    model, run = build(), tmp_path / "run"
    own = torch.optim.SGD(model.parameters(), lr=0.3)
    fitted(run, model, method=None, optimizer=own, loss=torch.nn.functional.cross_entropy)
    with pytest.raises(bntt.data.DataError, match="no train samples"):
        measure("evaluate", run, split="train")
    assert {"SGD.", "cross_entropy,"} < {*load_recipe(run / "recipe.toml").notes.split()}
    with pytest.raises(CheckpointError, match="cross_entropy"):
        fitted(run, model, method=None, optimizer=own)
    fitted(tmp_path / "taught", build(), epochs=1, loss=Distillation(model))
    assert "Distillation(" in load_recipe(tmp_path / "taught" / "recipe.toml").notes
    found = measure("evaluate", run, split="validation", folder=tmp_path / "there")
    assert (found.gamma_floor, found.training_images) == (None, len(data()))
    assert [*json.loads((tmp_path / "there" / "evaluation-validation.json").read_text())["measured_on"]] == [run.name]


def test_sequences_of_features_leave_without_pictures(tmp_path, capsys):
    samples = FrameSet(
        torch.rand(12, 4, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3, ("a", "b", "c")
    )
    net = bntt.models.mlp(in_features=5, hidden=(6,), num_classes=3, num_steps=4)
    model, loader = bntt.SpikingClassifier(bntt.SequenceEncoder(4, mean=0.5, std=0.25), net), SampleLoader(samples, 6)
    bntt.fit(model, loader, epochs=1, validation=loader, test=loader, directory=tmp_path / "run")
    assert cli.main(["export", str(tmp_path / "run")]) == 0
    Image.new("L", (5, 4)).save(tmp_path / "a.png")
    capsys.readouterr()
    assert cli.main(["predict", str(tmp_path / "a.png"), "--run", str(tmp_path / "run")]) == 2
    assert "was trained on sequences" in capsys.readouterr().err


def test_a_network_in_float64_is_opened_in_float64(tmp_path):
    model = build().double()
    fitted(tmp_path / "run", model, epochs=1, test=unseen())
    assert equal(bntt.load_run(tmp_path / "run").model, model)
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


def test_a_run_that_is_never_validated_goes_on_from_an_earlier_checkpoint(tmp_path):
    fitted(tmp_path / "run", build(), validation=None)
    latest = RunDirectory(tmp_path / "run").checkpoints.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    assert len(fitted(tmp_path / "run", build(), epochs=3, validation=None).epochs) == 3


def test_a_hook_that_a_loaded_run_lacks_is_told(tmp_path):
    model = build()
    hook = model.encoder.register_forward_hook(lambda encoder, args, drawn: -drawn)
    fitted(tmp_path / "run", model, epochs=1)
    with pytest.warns(UserWarning, match="own on encoder is missing"):
        assert not bntt.load_run(tmp_path / "run").model.encoder._forward_hooks
    hook.remove()
    fitted(tmp_path / "plain", build(), epochs=1)
    bntt.load_run(tmp_path / "plain")  # a warning would be an error


class Louder(bntt.PoissonEncoder):
    """An encoder with a setting that it does not print, and counts that training moves."""

    def __init__(self, gain):
        super().__init__(4, mean=[0.5], std=[0.25])
        self.gain, self.calls = gain, 0
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, images, **call):
        self.calls += 1
        self.seen += len(images)
        return self.gain * super().forward(images, **call)


def encoded(encoder):
    return bntt.SpikingClassifier(encoder, own().network)


def hooked():
    model = own()
    model.encoder.register_forward_hook(lambda encoder, args, drawn: -drawn)
    return model


def momentum():
    model = own()
    model.network.blocks["fc1"].norm.momentum = 0.5
    return model


@pytest.mark.parametrize(
    ("begun", "other", "named"),
    [
        (own, hooked, "touched"),
        (hooked, own, "touched"),
        (lambda: encoded(Louder(1.0)), lambda: encoded(Louder(2.0)), r"encoder\.gain = 2\.0"),
        (own, lambda: encoded(bntt.PoissonEncoder(4, mean=[0.25], std=[0.25])), r"encoder\.mean"),
        (own, momentum, r"fc1\.norm\.momentum = 0\.5"),
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


class Turned(bntt.SpikingClassifier):
    def forward(self, x, **options):
        return super().forward(x, **options).roll(1, 1)


def test_a_classifier_with_answers_of_its_own_is_trained_and_not_measured_by_other_answers(tmp_path):
    plain, hooked = build(), build()
    hooked.network.register_forward_hook(lambda network, args, logits: -logits)
    train = SampleLoader(data(), 10)
    for model, named in ((Turned(plain.encoder, plain.network), "forward"), (hooked, "network has a hook")):
        for given in ({"validation": train}, {"test": train, "directory": tmp_path / "run"}):
            with pytest.raises(TypeError, match=named):
                bntt.fit(model, train, epochs=1, **given)
        assert len(bntt.fit(model, train, epochs=1).epochs) == 1
        for analysis in (bntt.analysis.evaluate, bntt.analysis.count_operations):
            with pytest.raises(TypeError, match=named):
                analysis(model, train)
