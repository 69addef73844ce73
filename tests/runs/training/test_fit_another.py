"""A directory of one network is not continued with another one, and runs that say less of theirs are."""

import json

import pytest
import torch
from PIL import Image

import bntt
from bntt.cli import main as cli
from bntt.data import FrameSet, ImageSet, SampleLoader
from bntt.io.checkpoint import CheckpointError
from bntt.nn import LIF
from bntt.runs import from_python
from bntt.runs.directory import RunDirectory
from bntt.runs.from_python import builder_of
from bntt.runs.measure import measure
from bntt.runs.recipe.file import RecipeError
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
    refused = r"another network: '\(lif\): LIF\(leak=0.5.* of .*LIF\(leak=0.9.* or take a new directory"
    with pytest.raises(CheckpointError, match=refused):
        fitted(run, another, epochs=3)
    assert equal(own(), another), "nothing of it was changed"
    monkeypatch.setattr(from_python, "__version__", "2.0.0")
    told = next(one.text for one in fitted(run, another, epochs=3) if isinstance(one, Notice))
    assert told.startswith(f"warning: as it prints here, {run} was trained with another network: '(lif): LIF(leak=0.5")
    assert told in capsys.readouterr().err


def test_a_network_put_together_keeps_its_own_ways_to_compute_and_its_samples(tmp_path):
    fitted(tmp_path / "run", own(), epochs=1, test=unseen())
    for override, refused in (
        ("compute.backend=reference", "a model of your own"),
        ("data.root=x", "its samples itself"),
    ):
        with pytest.raises(RecipeError, match=refused):
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
    model = build()
    run = tmp_path / "run"
    own = torch.optim.SGD(model.parameters(), lr=0.3)
    fitted(run, model, method=None, optimizer=own, loss=torch.nn.functional.cross_entropy)
    with pytest.raises(bntt.data.DataError, match=r"there are no train samples: .*checksums"):
        measure("evaluate", run, split="train")
    written = (run / "recipe.toml").read_text("utf-8")
    assert "rates, momentum and decay in the table train are not its" in written
    assert "Its loss is your own, cross_entropy, not the table's" in written
    with pytest.raises(CheckpointError, match="minimises cross_entropy, this one its method's loss"):
        fitted(run, model, method=None, optimizer=own)
    fitted(tmp_path / "taught", build(), epochs=1, loss=Distillation(model))
    assert "Its loss is the table's and Distillation(share=0.5" in (tmp_path / "taught" / "recipe.toml").read_text()
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
    assert (
        "was trained on sequences (of your own) and takes neither pictures nor recordings: in Python"
        in capsys.readouterr().err
    )


def test_a_network_in_float64_is_opened_in_float64(tmp_path, capsys):
    model = build().double()
    fitted(tmp_path / "run", model, epochs=1, test=unseen())
    opened = bntt.load_run(tmp_path / "run").model
    assert equal(opened, model)
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


def test_a_run_that_is_never_validated_goes_on_from_an_earlier_checkpoint(tmp_path):
    fitted(tmp_path / "run", build(), validation=None)
    latest = RunDirectory(tmp_path / "run").checkpoints.paths()[0]
    latest.write_bytes(latest.read_bytes()[:-10])
    assert len(fitted(tmp_path / "run", build(), epochs=3, validation=None).epochs) == 3


def test_a_set_that_changes_its_samples_is_not_stored_without_that(tmp_path):
    class Inverted(ImageSet):
        def batch(self, index):
            return 1 - super().batch(index)

    loader = SampleLoader(Inverted(data().images, data().labels, data().classes), 10)
    with pytest.raises(TypeError, match=r"a SequenceSet itself, got a Inverted; without directory="):
        bntt.fit(build(), loader, epochs=1, directory=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_hook_that_a_loaded_run_lacks_is_told(tmp_path):
    model = build()
    hook = model.encoder.register_forward_hook(lambda encoder, args, drawn: -drawn)
    fitted(tmp_path / "run", model, epochs=1)
    with pytest.warns(UserWarning, match=r"run: a hook or method of your own on encoder is missing: if it changes"):
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
    model = own()
    return bntt.SpikingClassifier(encoder, model.network)


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
        (own, hooked, "touched = 'encoder has a hook' in place of ''"),
        (hooked, own, "touched = '' in place of 'encoder has a hook'"),
        (lambda: encoded(Louder(1.0)), lambda: encoded(Louder(2.0)), r"encoder\.gain = 2\.0 in place of 1\.0"),
        (own, lambda: encoded(bntt.PoissonEncoder(4, mean=[0.25], std=[0.25])), r"encoder\.mean = .*0\.25.* of .*0\.5"),
        (own, momentum, r"fc1\.norm\.momentum = 0\.5 in place of 0\.1"),
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
    plain = build()
    model = Turned(plain.encoder, plain.network)
    train = SampleLoader(data(), 10)
    for given in ({"validation": train}, {"test": train, "directory": tmp_path / "run"}):
        with pytest.raises(
            TypeError, match=r"after every step .* has a method of its own, forward: put what it does into"
        ):
            bntt.fit(model, train, epochs=1, **given)
        hooked = build()
        hooked.network.register_forward_hook(lambda network, args, logits: -logits)
        with pytest.raises(TypeError, match=r"after every step .* network has a hook: put what it does into"):
            bntt.fit(hooked, train, epochs=1, **given)
    assert len(bntt.fit(model, train, epochs=1).epochs) == 1
    for analysis in (bntt.analysis.evaluate, bntt.analysis.count_operations):
        with pytest.raises(TypeError, match="analyses take the answers after every step"):
            analysis(model, train)


def test_a_refused_training_leaves_no_layer_frozen(tmp_path):
    model = build()
    with pytest.raises(TypeError, match=r"validation must be a bntt\.data\.SampleLoader"):
        fitted(tmp_path / "run", model, validation=[], method=bntt.Method(freeze=["fc1"]))
    assert all(parameter.requires_grad for parameter in model.parameters())
    fitted(tmp_path / "run", model, epochs=1, method=bntt.Method(freeze=["fc1"]))
    assert not model.network.blocks["fc1"].norm.gamma.requires_grad
