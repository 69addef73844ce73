"""Losses: the paper's (Eq. 5), temporal efficient training, distillation, and the loss of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bntt.io.checkpoint import state_digest
from bntt.nn.kinds import neuron_facts, norm_facts
from bntt.nn.network.classifier import SpikingClassifier, check_answers, check_classifier
from bntt.nn.network.labelled_batch import check_shares
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.training.method import Method


def distilled(logits: Float[Tensor, "B K"], answers: Tensor, temperature: float = 1.0) -> Float[Tensor, ""]:
    """Return ``τ² KL(softmax(a / τ) ‖ softmax(u / τ))``, averaged over the batch (Hinton et al. 2015, Section 2).

    τ² keeps its gradient at the size of the labels' at any temperature.

    Args:
        logits: u, output of the network that learns, ``[B, K]``.
        answers: a, logits of its teacher, ``[B, K]``.
        temperature: τ, above 0; a high one also teaches which wrong classes are near.

    Raises:
        ValueError: if both do not have the same samples and classes.

    >>> import torch
    >>> distilled(torch.zeros(2, 10), torch.zeros(2, 10))
    tensor(0.)
    """
    if answers.shape != logits.shape:
        raise ValueError(f"the teacher must have the same classes, {list(logits.shape)}, got {list(answers.shape)}")
    of_student, of_teacher = (F.log_softmax(one / temperature, 1) for one in (logits, answers))
    return temperature**2 * F.kl_div(of_student, of_teacher, reduction="batchmean", log_target=True)


class Distillation:
    """A teacher for :func:`bntt.fit`, as ``loss=``: the loss is ``(1 - α) L + α distilled(...)``, L the method's loss.

    Every update runs the teacher in evaluation mode on the batch that the network sees, augmented alike, with its own
    encoder and all its steps. It may be an ANN, which costs one step.

    Args:
        teacher: trained classifier of the same classes; it is copied, and neither copy nor original is changed.
        share: α, above 0 and at most 1; with 1 the labels do not count.
        temperature: τ, above 0.

    Raises:
        TypeError: if the teacher is not a :class:`~bntt.SpikingClassifier`.
        ValueError: on another share or temperature.

    >>> import bntt
    >>> teacher = bntt.models.pretrained("fashion-mnist-vgg6")
    >>> net = bntt.models.mlp(in_features=784, hidden=(16,), num_steps=2)
    >>> model = bntt.SpikingClassifier(bntt.PoissonEncoder(2, mean=[0.29], std=[0.35]), net)
    >>> loader = bntt.data.SampleLoader(bntt.data.fashion_mnist_bundled().test, batch_size=500, shuffle=True)
    >>> history = bntt.fit(model, loader, epochs=1, loss=Distillation(teacher, share=0.5))
    >>> len(history.epochs)
    1
    """

    def __init__(self, teacher: SpikingClassifier, *, share: float = 0.5, temperature: float = 2.0) -> None:
        check_classifier(teacher, "a teacher is")
        if not (0 < share <= 1 and 0 < temperature < float("inf")):
            got = f"got share {share}, temperature {temperature}"
            raise ValueError(f"share must be above 0, at most 1, and temperature above 0; {got}")
        self.teacher = copy.deepcopy(teacher).requires_grad_(False).eval()
        self.teacher.zero_grad(set_to_none=True)
        self.share, self.temperature = float(share), float(temperature)
        self._weights = state_digest(self.teacher)

    def __repr__(self) -> str:
        """Name share, temperature and the teacher's weights: a training is resumed with these only."""
        return f"Distillation(share={self.share}, temperature={self.temperature}, teacher {self._weights[:12]})"


Loss = Callable[[Tensor, Tensor], Tensor] | Distillation
"""A loss of your own: it takes logits ``[B, K]`` and labels, and returns the mean loss of the samples. Or a teacher,
whose answers count beside the method's loss."""
OPTIONS = ("loss", "tet_share", "tet_target", "label_smoothing")
"""Options of a method that say what its loss is."""


def cross_entropy(logits: Float[Tensor, "B K"], labels: Tensor, label_smoothing: float = 0.0) -> Float[Tensor, ""]:
    """Return Eq. 5, ``L = -log softmax(u^T / T)[label]``, averaged over the batch; logits are divided by T already.

    Args:
        logits: output of the network, ``[B, K]``.
        labels: one integer per sample, ``[B]``; or a share of every class, ``[B, K]``, for mixed samples.
        label_smoothing: share of every label that is spread evenly over all K classes (Szegedy et al. 2016).

    Raises:
        ValueError: on labels that are not one integer per row, or outside 0..K-1; torch would silently skip -100.

    >>> import torch
    >>> cross_entropy(torch.zeros(2, 10), torch.tensor([3, 4]))
    tensor(2.3026)
    """
    check_labels(logits, labels)
    return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)


def temporal_efficient(
    logits: Float[Tensor, "T B K"],
    labels: Tensor,
    share: float = 0.05,
    target: float = 1.0,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return TET (Deng et al. 2022, Eq. 10-12): ``(1-λ) mean_t CE(d_t, y) + λ mean (d_t - φ)²``, ``d_t = W o^t``.

    Args:
        logits: mean of the drives so far after each step from rest, ``[T, B, K]``, as ``advance`` returns them.
        labels: one integer per sample, ``[B]``; or a share of every class, ``[B, K]``.
        share: λ, in [0, 1].
        target: φ.
        label_smoothing: share of every label that is spread evenly over all K classes.

    Raises:
        ValueError: as :func:`cross_entropy`.

    >>> import torch
    >>> temporal_efficient(torch.zeros(5, 2, 10), torch.tensor([3, 4]), share=0.0)
    tensor(2.3026)
    """
    check_labels(logits[-1], labels)
    taken = torch.arange(1, len(logits) + 1, dtype=logits.dtype, device=logits.device)
    voltage = logits * taken[:, None, None]
    drives = torch.cat([voltage[:1], voltage[1:] - voltage[:-1]])
    every = F.cross_entropy(
        drives.flatten(0, 1), labels.repeat(len(drives), *[1] * (labels.ndim - 1)), label_smoothing=label_smoothing
    )
    return (1 - share) * every + share * (drives - target).square().mean()


def check_labels(logits: Float[Tensor, "B K"], labels: Tensor) -> None:
    """Refuse labels that are neither one class nor shares of all classes per sample."""
    (count, classes), shares = logits.shape, labels.is_floating_point()
    fits = labels.shape == (logits.shape if shares else (count,))
    low, high = (0, 0) if shares or not fits else map(int, labels.aminmax())
    if not fits or low < 0 or high >= classes:
        got = f"{low} to {high}" if fits else f"{labels.dtype} {list(labels.shape)}"
        raise ValueError(
            f"labels must be {count} integers from 0 to {classes - 1}, or shares {[*logits.shape]}, got {got}"
        )
    if shares:
        check_shares(labels)


def check_objective(network: SpikingNetwork, method: Method, own: object = None) -> None:
    """Refuse "tet" over only some of the steps if a norm takes its statistics over all; and a loss that is not one."""
    for name, layer in network.layers.items() if method.loss == "tet" and method.grow else ():
        if layer.norm is not None and norm_facts(layer.norm).looks_ahead:
            kind = type(layer.norm).__name__
            raise ValueError(f"loss 'tet' with grow: the norm of {name!r}, {kind}, has statistics over all steps")
    if own is None or isinstance(own, Distillation):
        return
    if isinstance(own, type) or not callable(own):
        got = f"the class {own.__name__}, not an object" if isinstance(own, type) else type(own).__name__
        raise TypeError(f"loss must be a function of logits and labels, or left out, got {got}")
    given, usual, trained = asdict(method), asdict(Method()), set(map(id, network.parameters()))
    both = [f"{name}={given[name]!r}" for name in OPTIONS if given[name] != usual[name]]
    if both:
        raise ValueError(f"a loss of your own replaces the method's: leave out {', '.join(both)}")
    if isinstance(own, nn.Module) and any(p.requires_grad and id(p) not in trained for p in own.parameters()):
        raise ValueError(f"the loss, {type(own).__name__}, has parameters to learn, and only the model's are trained")


class BatchLoss(nn.Module):
    """Loss of a batch by the training method, or your own."""

    def __init__(self, model: SpikingClassifier, method: Method, seed: int, own: Loss | None = None) -> None:
        super().__init__()
        if method.loss == "tet":
            check_answers(model, "the loss 'tet' takes")
        self.model, self.method, self.seed = model, method, seed
        self._own = (own,)  # not a part of this module: it may hold the model

    @property
    def all_learn(self) -> bool:
        """True if every parameter gets a gradient: in one step no leak does, nor do layers that fire late."""
        fewest = min([self.model.encoder.num_steps, *(steps for steps, _ in self.method.grow)])
        neurons = [layer.lif for layer in self.model.network.layers.values() if layer.lif is not None]
        return fewest > 1 and not any(neuron_facts(neuron).waits for neuron in neurons)

    def forward(self, inputs: Tensor, labels: Tensor, index: Tensor, *, draw: int, steps: int) -> tuple[Tensor, Tensor]:
        model, method, (own,) = self.model, self.method, self._own
        device = next(model.parameters()).device
        inputs, labels = inputs.to(device), labels.to(device)
        if method.loss == "tet":
            each, _ = model.advance(inputs, steps=steps, seed=self.seed, index=index, draw=draw)
            loss = temporal_efficient(each, labels, method.tet_share, method.tet_target, method.label_smoothing)
            logits = each[-1]
        else:
            logits = model(inputs, seed=self.seed, index=index, draw=draw, steps=steps)
            if own is None or isinstance(own, Distillation):
                loss = cross_entropy(logits, labels, method.label_smoothing)
            else:
                check_labels(logits, labels)
                loss = own(logits, labels)
        if isinstance(own, Distillation):
            with torch.no_grad():
                answers = own.teacher.to(logits.device)(inputs, index=index, seed=self.seed, draw=draw)
            loss = (1 - own.share) * loss + own.share * distilled(logits, answers, own.temperature)
        return loss, hits(logits.detach(), labels).sum()


def name_of(loss: Loss | None) -> str:
    """Return how a checkpoint names a loss of your own; None is the method's, a teacher counts beside it."""
    if isinstance(loss, Distillation):
        return f"its method's loss and {loss}"
    loss = getattr(loss, "func", loss)  # functools.partial
    return "its method's loss" if loss is None else str(getattr(loss, "__qualname__", type(loss).__qualname__))


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return which samples are classified correctly, ``[B]``; of labels that are class shares, the largest counts."""
    return logits.argmax(1) == (labels.argmax(1) if labels.is_floating_point() else labels)
