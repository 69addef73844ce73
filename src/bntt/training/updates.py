"""The training loop (paper Algorithm 2): encode, run, cross entropy, back-propagate through time, step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from torch import optim

from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.labelled_batch import Loader
from bntt.training.method import Method
from bntt.training.objective import Loss
from bntt.training.processes import Processes
from bntt.training.records import EpochRecord, StepRecord
from bntt.training.session import Session


class Updates(Iterator[StepRecord | EpochRecord]):
    """Iterator over the records of a training, with its session."""

    def __init__(self, session: Session) -> None:
        self.session, self._records, self._started = session, session.records(), False

    @property
    def average(self) -> SpikingClassifier | None:
        """The moving average of the model so far, also a classifier; None if the method has none."""
        return self.session.average

    @property
    def measured(self) -> SpikingClassifier:
        """Model to evaluate: the average if there is one, else the model itself."""
        return self.session.measured

    def __next__(self) -> StepRecord | EpochRecord:
        self._started = True
        return next(self._records)

    def __del__(self) -> None:
        if not self._started:
            warnings.warn(
                "updates(...) trains only while it is iterated, and was dropped before its first update: "
                "write `for record in updates(...)`, or call bntt.fit(...)",
                RuntimeWarning,
                stacklevel=2,
            )


def updates(
    model: SpikingClassifier,
    loader: Loader,
    *,
    epochs: int,
    method: Method | None = None,
    seed: int = 0,
    optimizer: optim.Optimizer | None = None,
    loss: Loss | None = None,
    processes: Processes | None = None,
) -> Updates:
    """Train a model lazily: iterating takes the updates; a record follows every update and every epoch.

    It evaluates nothing and writes nothing: :func:`bntt.fit` does both. Between two records you may measure the model.
    A :class:`~bntt.training.Session` does the same, and can be saved between two updates and resumed later. If you drop
    the result before its first record, it warns and trains nothing.

    The model has the weights of the last update. If the method averages them (``Method(average=0.999)``), the average
    is a second model, ``result.average``: recipes validate, keep and test that one. ``result.measured`` is the average,
    or the model itself if there is none.

    Args:
        model: trained in place; put into training mode before every update.
        loader: a ``bntt.data.SampleLoader`` (its true indices and ``draw = epoch`` make the noise), or any iterable of
            ``(inputs, labels)`` such as a torch ``DataLoader``, whose samples are numbered as they come.
        epochs: number of epochs in the whole schedule.
        method: training method, a :class:`~bntt.training.Method`; the paper's SGD, learning rate 0.3, by default.
        seed: seed of the encoder's noise.
        optimizer: yours, instead of the method's. Without a method, its learning rates stay as they are; with one, the
            method's schedule begins at the rates of its groups.
        loss: yours, instead of the method's, or a teacher beside it, see :class:`~bntt.training.Session`.
        processes: those that train this network together, see :class:`~bntt.training.Session`.

    Returns:
        An iterator of ``StepRecord`` and ``EpochRecord``, with the attributes ``average`` and ``measured``.

    Raises:
        TypeError: if the model is not a :class:`SpikingClassifier`, or another argument or a batch has a
            wrong type.
        NonFiniteError: on anything that is not finite, before weights or running statistics are touched.
        ValueError: at the call, as :class:`~bntt.training.Session`; later, on a label outside the classes, or a loader
            without batches.

    >>> import bntt
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500, shuffle=True)
    >>> [type(record).__name__ for record in bntt.training.updates(model, loader, epochs=1)]
    ['StepRecord', 'StepRecord', 'EpochRecord']
    >>> training = bntt.training.updates(model, loader, epochs=1, method=bntt.Method(average=0.9))
    >>> for record in training:
    ...     pass
    >>> bntt.analysis.evaluate(training.measured, loader, draws=1).accuracy.samples
    1000
    """
    session = Session(
        model,
        loader,
        epochs=epochs,
        method=method,
        seed=seed,
        optimizer=optimizer,
        loss=loss,
        processes=processes,
    )
    return Updates(session)
