"""Lightning 2: the same updates as ours; it trains, keeps and resumes."""

import itertools
import warnings
from dataclasses import replace

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import bntt
from bntt.data import SampleLoader, fashion_mnist_bundled
from bntt.models import mlp
from bntt.training import NonFiniteError, Session
from tests.interop.peers import need
from tests.rows import each_row
from tests.training.test_fit import data as small
from tests.training.test_foreign_parts import build as foreign_model

need("lightning", "2.6.6")

import lightning  # noqa: E402

from bntt.interop.lightning import Data, Module  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
METHOD = bntt.Method(lr=0.1, schedule="cosine", lr_every="step", warmup=0.5)


def model() -> bntt.SpikingClassifier:
    net = mlp(in_features=784, hidden=(16,), num_steps=2)
    return bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)


def loader(count: int = 300) -> SampleLoader:
    images = fashion_mnist_bundled().test
    return SampleLoader(images.select(torch.arange(count)), batch_size=100, shuffle=True, augment=["flip"])


def trainer(folder, epochs: int, **options) -> lightning.Trainer:
    warnings.simplefilter("ignore")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
    return lightning.Trainer(max_epochs=epochs, default_root_dir=folder, **quiet, **options)


def same(one: bntt.SpikingClassifier, other: bntt.SpikingClassifier) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_the_same_updates_as_ours_resumed_or_not(tmp_path):
    ours = model()
    list(Session(ours, loader(), epochs=2, method=METHOD).records())
    module = Module(model().eval(), METHOD)  # a network in evaluation mode is trained as any other
    keep = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    whole = trainer(tmp_path, 2, callbacks=[keep])
    whole.fit(module, Data(loader(), held_out := loader()))
    assert torch.equal(next(iter(held_out)).indices, next(held_out.epoch(1)).indices)  # validated in draw 0 alone
    assert same(module.model, ours)
    assert {"train_loss", "val_loss", "val_accuracy", "train_accuracy"} <= whole.callback_metrics.keys()
    for bare in (False, True):
        resumed = Module(model(), METHOD)
        loaders = {"train_dataloaders": loader()} if bare else {"datamodule": Data(loader())}
        trainer(tmp_path, 2).fit(resumed, **loaders, ckpt_path=tmp_path / "epoch=0.ckpt")
        assert same(resumed.model, ours), bare


def test_a_sample_loader_and_pairs_go_in_as_they_are(tmp_path):
    module = Module(model(), bntt.Method(lr=0.1))
    trainer(tmp_path, 1, limit_train_batches=2).fit(module, loader())
    images = fashion_mnist_bundled().test
    pairs = DataLoader(TensorDataset(images.batch(torch.arange(300)), images.labels[:300]), batch_size=100)
    method = bntt.Method(lr=0.1, freeze=["fc1"])
    other, ours = Module(model(), method), model()
    keep = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    trainer(tmp_path, 1, val_check_interval=1, callbacks=[keep]).fit(other, pairs, pairs)
    list(Session(ours, pairs, epochs=1, method=method).records())
    assert same(other.model, ours)
    triples = TensorDataset(images.batch(torch.arange(50)), images.labels[:50], torch.zeros(50, dtype=torch.int64))
    with pytest.raises((TypeError, ValueError), match=r"pairs|tuple"):
        trainer(tmp_path, 1).fit(Module(model(), method), DataLoader(triples, batch_size=50))
    with pytest.raises(ValueError, match="end of an epoch"):
        trainer(tmp_path, 1).fit(Module(model(), method), pairs, ckpt_path=tmp_path / "step=2.ckpt")


def pairs(*sizes: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of these sizes."""
    images, ends = fashion_mnist_bundled().test, list(itertools.accumulate(sizes))
    places = [torch.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    return [(images.batch(index), images.labels[index]) for index in places]


@each_row("sizes", [(40, 40, 40), (60, 20, 40), (60, 20, 40, 30, 10), (40, 40, 40, 40)])
def test_accumulated_batches_count_by_their_samples_also_if_they_are_few(sizes, tmp_path):
    """Weights end within rounding of ours: a loss that is divided by the number of batches was 0.1 off."""
    method = bntt.Method(lr=0.1, clip_norm=0.5, accumulate=2)
    ours, module = model(), Module(model(), replace(method, accumulate=1, clip_norm=0.0))
    list(Session(ours, pairs(*sizes), epochs=2, method=method).records())
    loaders = DataLoader(pairs(*sizes), batch_size=None)
    trainer(tmp_path, 2, accumulate_grad_batches=2, gradient_clip_val=0.5).fit(module, loaders)
    for name, value in ours.state_dict().items():
        assert torch.allclose(module.model.state_dict()[name], value, atol=2e-5), name


def test_statistics_of_foreign_parts_wait_for_the_update_as_ours(tmp_path):
    method = bntt.Method(lr=0.1, accumulate=2)
    ours, module, images = foreign_model(), Module(foreign_model(), bntt.Method(lr=0.1)), small(40)
    batches = DataLoader(TensorDataset(images.batch(torch.arange(40)), images.labels), batch_size=10)
    list(Session(ours, batches, epochs=1, method=method).records())
    trainer(tmp_path, 1, accumulate_grad_batches=2).fit(module, batches)
    found = module.model.state_dict()
    assert all(torch.allclose(value, found[name], atol=2e-5) for name, value in ours.state_dict().items())
    assert found["network.blocks.fc1.norm.norm.num_batches_tracked"] == 4
    before = {name: value.clone() for name, value in module.model.named_buffers()}
    module.model.network.readout.synapse.weight.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        trainer(tmp_path, 1, accumulate_grad_batches=2, enable_checkpointing=False).fit(module, batches)
    for name, value in module.model.named_buffers():
        assert torch.equal(value, before[name]), name


def test_a_loader_of_a_part_of_the_samples_is_refused(tmp_path):
    half = SampleLoader(fashion_mnist_bundled().test, 100, share=(0, 2))
    for train, held_out in ((half, None), (loader(), half)):
        for given in ((Data(train, held_out),), (train, held_out)):
            with pytest.raises(ValueError, match="share"):
                trainer(tmp_path, 1, num_sanity_val_steps=0).fit(Module(model()), *given)


@each_row(
    "options, loss, named",
    [
        ({"clip_norm": 1.0}, None, "gradient_clip_val"),
        ({"average": 0.9}, None, "average"),
        ({"label_smoothing": 0.1}, torch.nn.functional.cross_entropy, "label_smoothing"),
    ],
)
def test_what_is_the_trainers_is_refused(options, loss, named):
    with pytest.raises(ValueError, match=named):
        Module(model(), bntt.Method(**options), loss=loss)


def test_several_processes_and_numbers_that_are_not_finite_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(lightning.Trainer, "world_size", 2)
        with pytest.raises(ValueError, match="torchrun"):
            trainer(tmp_path, 1).fit(Module(model()), loader())
    module = Module(model(), bntt.Method(lr=1e30))
    with pytest.raises(NonFiniteError):
        trainer(tmp_path, 5, enable_checkpointing=False).fit(module, loader())
    assert all(torch.isfinite(value).all() for value in module.model.network.state_dict().values())


def test_a_fit_after_one_that_failed_begins_anew(tmp_path, monkeypatch):
    """Neither the loss that was refused nor statistics of an update that never came are there."""
    images, ours = loader(100), model()
    list(Session(ours, images, epochs=1, method=METHOD).records())
    module, start = Module(model(), METHOD), model().state_dict()
    module.model.network.readout.synapse.weight.data.fill_(torch.nan)
    with pytest.raises(NonFiniteError):
        trainer(tmp_path, 1, enable_checkpointing=False).fit(module, Data(images))
    assert not module._held
    module.model.load_state_dict(start)
    with monkeypatch.context() as patch:
        patch.setattr(module, "on_after_backward", interrupt)
        with pytest.raises(RuntimeError, match="interrupted"):
            trainer(tmp_path, 1, enable_checkpointing=False).fit(module, Data(images))
    trainer(tmp_path, 1, enable_checkpointing=False).fit(module, Data(images))
    assert same(module.model, ours)


def interrupt():
    raise RuntimeError("interrupted")
