"""Lightning 2: a classifier with its method as a LightningModule, and loaders as a data module."""

from __future__ import annotations

from typing import Any

import lightning
from torch import Tensor, optim

from bntt.data import Batch, SampleLoader
from bntt.nn.network.classifier import SpikingClassifier, check_classifier
from bntt.nn.network.labelled_batch import Loader, Samples, samples
from bntt.nn.norms import HeldStatistics, hold_statistics
from bntt.training.method import PAPER, Method
from bntt.training.objective import BatchLoss, Loss, check_objective, cross_entropy, hits
from bntt.training.optimizer import freeze, optimizer_of, stepped
from bntt.training.processes import Processes, check_share
from bntt.training.schedule import Rates
from bntt.training.session import check_finite

ELSEWHERE = {
    "accumulate": "is the Trainer's here: Trainer(accumulate_grad_batches=...)",
    "clip_norm": "is the Trainer's here: Trainer(gradient_clip_val=...)",
    "average": "is for fit: a LightningModule has none",
    "grow": "is for fit: a LightningModule has none",
}
"""Options of a method that a Module does not take."""


class Module(lightning.LightningModule):  # type: ignore[misc] # no types without the peer
    """A classifier trained by ``lightning.Trainer`` with one of our methods: the same updates as ``fit``.

    The draw is the epoch. Learning rates follow the method's schedule over ``max_epochs``, update by update. Batches of
    one update count by their samples, also if they are fewer than ``accumulate_grad_batches``. Running statistics
    change with an update, after all its numbers were found finite. It logs ``train_loss``, ``train_accuracy``,
    ``val_loss`` and ``val_accuracy``.

    Args:
        model: the classifier; it is trained in place.
        method: the paper's by default.
        seed: seed of the encoder's noise.
        loss: yours, instead of the method's, or a teacher beside it, see :func:`bntt.fit`.

    Raises:
        TypeError: if the model is not a classifier, or the loss cannot be called.
        ValueError: if the method has options that belong to the Trainer, or that only ``fit`` supports, or a loss next
            to yours, or if yours has parameters to learn; during a fit, if the Trainer has several processes, or
            resumes in the middle of an epoch.
    """

    def __init__(
        self, model: SpikingClassifier, method: Method = PAPER, *, seed: int = 0, loss: Loss | None = None
    ) -> None:
        super().__init__()
        check_classifier(model, "a Module trains")
        check_objective(model.network, method, loss)
        for name, why in ELSEWHERE.items():
            if (value := getattr(method, name)) != getattr(PAPER, name):
                raise ValueError(f"{name}={value!r} {why}")
        self.model, self.method, self.seed, self.loss = model, method, seed, loss
        self._held: list[tuple[int, Tensor, HeldStatistics]] = []
        self._seen = {"train": 0, "validation": 0}

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits ``[B, K]``."""
        logits: Tensor = self.model(inputs, seed=self.seed)
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch: a SampleLoader's, whose samples have an index, or ``(inputs, labels)``."""
        inputs, labels, index = self._samples(batch, "train")
        self.model.train()  # a Trainer trains in the mode that the model came in
        with hold_statistics(self.model, self._held[-1][2] if self._held else None) as held:
            loss, right = BatchLoss(self.model, self.method, self.seed, self.loss).forward(
                inputs, labels, index, draw=self.current_epoch, steps=self.model.encoder.num_steps
            )
        self._held.append((len(labels), loss.detach(), held))
        self.log("train_loss", loss.detach(), on_epoch=True, batch_size=len(labels))
        self.log("train_accuracy", right / len(labels), on_epoch=True, batch_size=len(labels))
        return loss * (len(labels) / self._held[0][0])

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy in draw 0."""
        inputs, labels, index = self._samples(batch, "validation")
        logits = self.model(inputs, seed=self.seed, index=index)
        self.log("val_loss", cross_entropy(logits, labels), batch_size=len(labels))
        self.log("val_accuracy", hits(logits, labels).float().mean(), batch_size=len(labels), prog_bar=True)

    def configure_optimizers(self) -> optim.Optimizer:
        """Freeze the method's layers and return its optimiser; its rates are set before every update."""
        optimizer = optimizer_of(self.model, self.method)
        freeze(self.model.network, self.method.freeze, optimizer)
        return optimizer

    def on_fit_start(self) -> None:
        """Refuse several processes: each would train on every batch, with its own statistics and noise."""
        if (count := self.trainer.world_size) > 1:
            raise ValueError(
                f"a Module trains in one process, the Trainer has {count}: Trainer(devices=1, num_nodes=1), or "
                f"train in several with `bntt train` or bntt.training.updates(processes=...), started by torchrun"
            )

    def on_train_start(self) -> None:
        """Forget batches of a fit that was interrupted before their update; refuse to resume inside an epoch."""
        self._held.clear()
        for loader in (self.trainer.train_dataloader, *self._validation()):
            check_share(loader, Processes())
        if self.trainer.fit_loop.restarted_mid_epoch:
            raise ValueError(
                "the checkpoint was written inside an epoch's loop, and a Trainer would restart its samples: "
                "resume from one written at the end of an epoch (ModelCheckpoint(every_n_epochs=1))"
            )

    def on_train_epoch_start(self) -> None:
        """Restart the numbering of samples; a SampleLoader's draw is the epoch, also after a resume."""
        self._seen["train"] = 0
        if isinstance(loader := self.trainer.train_dataloader, SampleLoader):
            loader.begin_at(self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        """Restart the numbering of validation samples, in draw 0; validation may be in the middle of an epoch."""
        self._seen["validation"] = 0
        for loader in self._validation():
            if isinstance(loader, SampleLoader):
                loader.begin_at(0)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Set the learning rates of the update that this batch belongs to."""
        trainer, each = self.trainer, self.trainer.accumulate_grad_batches
        epochs, batches = trainer.max_epochs, trainer.num_training_batches
        if epochs is None or epochs < 1 or not isinstance(batches, int):
            raise ValueError("a schedule needs its end: Trainer(max_epochs=...) and a loader with a length")
        rates = Rates(self.method, epochs, -(-batches // each))
        rates.apply(self.optimizers(), self.current_epoch, batch_idx // each)

    def on_before_optimizer_step(self, optimizer: optim.Optimizer) -> None:
        """Update the running statistics, if everything is finite, and weigh batches by samples, as no Trainer does."""
        batches, self._held = self._held, []  # a refused update leaves none behind
        for _, loss, held in batches:
            check_finite(self.model, loss, optimizer, held)
        for _, _, held in batches:
            held.take_in()
        whole = sum(samples for samples, *_ in batches) / self.trainer.accumulate_grad_batches
        for gradient in (one.grad for one in stepped(optimizer) if one.grad is not None):
            gradient.mul_(batches[0][0] / whole)

    def _validation(self) -> list[Any]:
        given = self.trainer.val_dataloaders or []
        return given if isinstance(given, list) else [given]

    def _samples(self, batch: Any, part: str) -> Samples:
        if isinstance(batch, Batch):
            return batch.inputs, batch.labels, batch.indices
        inputs, labels, index = next(samples([tuple(batch)], 0))
        first = self._seen[part]
        self._seen[part] += len(labels)
        return inputs, labels, index + first


class Data(lightning.LightningDataModule):  # type: ignore[misc] # no types without the peer
    """Loaders for a Trainer; with a :class:`Module`, a ``SampleLoader``'s order and augmentation follow the epoch.

    Args:
        train, validation: ``bntt.data.SampleLoader``, or any iterable of ``(inputs, labels)``.
    """

    def __init__(self, train: Loader, validation: Loader | None = None) -> None:
        super().__init__()
        self.train, self.validation = train, validation

    def train_dataloader(self) -> Any:
        """Return the training loader."""
        return self.train

    def val_dataloader(self) -> Any:
        """Return the validation loader; without one, an empty list: Lightning then skips it."""
        return [] if self.validation is None else self.validation
