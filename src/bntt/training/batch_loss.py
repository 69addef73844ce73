"""What a batch costs: encoder, network and loss in one module, as many processes wrap it."""

from __future__ import annotations

from torch import Tensor, nn

from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.neurons import LIF
from bntt.ops.lif import fire_before
from bntt.training.method import Method
from bntt.training.objective import cross_entropy, temporal_efficient


class BatchLoss(nn.Module):
    """``loss, right = batch_loss(inputs, labels, index, draw=epoch, steps=T)``: by the method's loss, and how many
    answers are right.

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
        """Whether every parameter gets a gradient in every epoch: of one step a learned leak gets none, and with
        ``fire_before`` the weights of layers whose spikes come too late."""
        fewest = min([self.model.encoder.num_steps, *(steps for steps, _ in self.method.grow)])
        neurons = [layer.lif.neuron for layer in self.model.network.layers.values() if isinstance(layer.lif, LIF)]
        return fewest > 1 and not any(neuron.rule is fire_before for neuron in neurons)

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
        true = labels.argmax(1) if labels.is_floating_point() else labels
        return loss, (logits.detach().argmax(1) == true).sum()
