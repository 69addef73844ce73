"""Distillation: a network learns the answers of a trained one beside the labels (Hinton et al. 2015)."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from bntt.io.checkpoint import state_digest
from bntt.nn.network.classifier import SpikingClassifier, check_classifier


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
        raise ValueError(
            f"the teacher must answer for the same samples and classes, {list(logits.shape)}, got {list(answers.shape)}"
        )
    of_student, of_teacher = (F.log_softmax(one / temperature, 1) for one in (logits, answers))
    return temperature**2 * F.kl_div(of_student, of_teacher, reduction="batchmean", log_target=True)


class Distillation:
    """A teacher for :func:`bntt.fit`, as ``loss=``: the loss is ``(1 - α) L + α distilled(...)``, L the method's loss.

    Every update runs the teacher without gradients, in evaluation mode, on the batch that the network sees, augmented
    alike; it encodes the batch with its own encoder and takes all its steps. It may be an ANN, which costs one step.

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
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.teacher = copy.deepcopy(teacher).requires_grad_(False).eval()
        self.teacher.zero_grad(set_to_none=True)
        self.share, self.temperature = float(share), float(temperature)
        self._weights = state_digest(self.teacher)

    def __repr__(self) -> str:
        """Name share, temperature and the checksum of the teacher's weights: a training is resumed with these only."""
        return f"Distillation(share={self.share}, temperature={self.temperature}, teacher {self._weights[:12]})"

    def mixed(
        self,
        loss: Float[Tensor, ""],
        logits: Float[Tensor, "B K"],
        inputs: Tensor,
        index: Integer[Tensor, " B"],
        *,
        seed: int,
        draw: int,
    ) -> Float[Tensor, ""]:
        """Return a batch's loss by the labels, mixed with its distance from the teacher's answers.

        Args:
            loss: L, the method's loss of the batch.
            logits: output of the network that learns, ``[B, K]``.
            inputs, index, seed, draw: samples and noise, as :class:`~bntt.SpikingClassifier` takes them.
        """
        with torch.no_grad():
            answers = self.teacher.to(logits.device)(inputs, seed=seed, index=index, draw=draw)
        return (1 - self.share) * loss + self.share * distilled(logits, answers, self.temperature)
