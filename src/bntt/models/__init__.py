"""Named networks: lower-case builders with flat keyword arguments, and one that comes trained."""

from collections.abc import Callable

from bntt.models.dvs_cnn import dvs_cnn
from bntt.models.mlp import mlp
from bntt.models.pretrained import PRETRAINED, PretrainedError, PretrainedFacts, pretrained, pretrained_facts
from bntt.models.resnet import resnet19, resnet20
from bntt.models.vgg import vgg6, vgg9, vgg11
from bntt.nn.network.spiking_network import SpikingNetwork

MODELS: dict[str, Callable[..., SpikingNetwork]] = {
    "vgg6": vgg6,
    "vgg9": vgg9,
    "vgg11": vgg11,
    "mlp": mlp,
    "dvs_cnn": dvs_cnn,
    "resnet19": resnet19,
    "resnet20": resnet20,
}
"""The spiking networks that recipes know by name."""

__all__ = [
    "MODELS",
    "PRETRAINED",
    "PretrainedError",
    "PretrainedFacts",
    "dvs_cnn",
    "mlp",
    "pretrained",
    "pretrained_facts",
    "resnet19",
    "resnet20",
    "vgg6",
    "vgg9",
    "vgg11",
]
