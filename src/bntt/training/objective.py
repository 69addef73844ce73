"""Losses: the paper's (Eq. 5), temporal efficient training, and the loss of a batch from encoder to answer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.kinds import neuron_facts, norm_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.labelled_batch import not_shares
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.training.method import Method


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
    """Return TET (Deng et al. 2022, Eq. 10-12): ``(1-λ) mean_t CE(d_t, y) + λ mean (d_t - φ)²``, d_t a step's drive.

    The drive ``d_t = W o^t`` is the readout's input in step t alone, not its mean so far.

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
    drives = drives_of(logits)
    every = F.cross_entropy(
        drives.flatten(0, 1), labels.repeat(len(drives), *[1] * (labels.ndim - 1)), label_smoothing=label_smoothing
    )
    return (1 - share) * every + share * (drives - target).square().mean()


def drives_of(logits: Float[Tensor, "T B K"]) -> Float[Tensor, "T B K"]:
    """Return each step's own drive, from the means of all drives so far.

    >>> import torch
    >>> drives_of(torch.tensor([[[1.0]], [[2.0]], [[3.0]]])).flatten()
    tensor([1., 3., 5.])
    """
    taken = torch.arange(1, len(logits) + 1, dtype=logits.dtype, device=logits.device)
    voltage = logits * taken[:, None, None]
    return torch.cat([voltage[:1], voltage[1:] - voltage[:-1]])


def check_labels(logits: Float[Tensor, "B K"], labels: Tensor) -> None:
    """Refuse labels that are neither one class nor shares of all classes per sample.

    Raises:
        ValueError: if they are not.

    >>> check_labels(torch.zeros(2, 10), torch.tensor([3, 4]))
    """
    count, classes = logits.shape
    if labels.is_floating_point():
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels must be {count} integers, or shares [{count}, {classes}], got {list(labels.shape)}"
            )
        if len(not_shares(labels)):
            raise ValueError("labels that are shares of classes must be 0 or more and add up to 1 in every row")
        return
    if labels.shape != (count,):
        raise ValueError(f"labels must be {count} integers, got {labels.dtype} {list(labels.shape)}")
    low, high = labels.aminmax()
    if low < 0 or high >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, got {int(low)} to {int(high)}")


def check_objective(network: SpikingNetwork, method: Method) -> None:
    """Refuse "tet" over only some of the steps if a norm takes its statistics over all of them.

    Raises:
        ValueError: naming the layer.

    >>> from bntt.models import mlp
    >>> check_objective(mlp(num_steps=2), Method(loss="tet", grow=[(1, 1)]))
    """
    if method.loss != "tet" or not method.grow:
        return
    for name, layer in network.layers.items():
        if layer.norm is not None and norm_facts(layer.norm).looks_ahead:
            raise ValueError(
                f"loss 'tet' with grow takes some of the steps, but the norm of {name!r}, {type(layer.norm).__name__}, "
                f"takes its training statistics over all: use loss 'cross-entropy', or no grow"
            )


class BatchLoss(nn.Module):
    """Loss of a batch by the training method.

    ``loss, right = batch_loss(inputs, labels, index, draw=epoch, steps=T)`` returns the loss and the number of correct
    answers.

    >>> import torch
    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> of = BatchLoss(SpikingClassifier(PoissonEncoder(3), mlp(in_features=4, num_steps=3)), Method(), seed=0)
    >>> loss, right = of(torch.rand(2, 1, 2, 2), torch.tensor([0, 1]), torch.arange(2), draw=0, steps=3)
    >>> loss.shape, right.shape
    (torch.Size([]), torch.Size([]))
    """

    def __init__(self, model: SpikingClassifier, method: Method, seed: int) -> None:
        super().__init__()
        self.model, self.method, self.seed = model, method, seed

    @property
    def all_learn(self) -> bool:
        """Return True if every parameter gets a gradient in every epoch.

        With one step a learned leak gets none; nor do the weights of layers whose spikes come too late with
        ``fire_before``.
        """
        fewest = min([self.model.encoder.num_steps, *(steps for steps, _ in self.method.grow)])
        neurons = [layer.lif for layer in self.model.network.layers.values() if layer.lif is not None]
        return fewest > 1 and not any(neuron_facts(neuron).waits for neuron in neurons)

    def forward(self, inputs: Tensor, labels: Tensor, index: Tensor, *, draw: int, steps: int) -> tuple[Tensor, Tensor]:
        model, method = self.model, self.method
        device = next(model.parameters()).device
        inputs, labels = inputs.to(device), labels.to(device)
        if method.loss == "tet":
            each, _ = model.advance(inputs, steps=steps, seed=self.seed, index=index, draw=draw)
            loss = temporal_efficient(each, labels, method.tet_share, method.tet_target, method.label_smoothing)
            logits = each[-1]
        else:
            logits = model(inputs, seed=self.seed, index=index, draw=draw, steps=steps)
            loss = cross_entropy(logits, labels, method.label_smoothing)
        return loss, hits(logits.detach(), labels).sum()


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Return which samples are classified correctly, ``[B]``; of labels that are class shares, the largest counts."""
    return logits.argmax(1) == (labels.argmax(1) if labels.is_floating_point() else labels)
