"""Named networks: lower-case builders with flat keyword arguments, and networks that come trained."""

from typing import TYPE_CHECKING

from bntt.doors import old_names as _old_names
from bntt.models.pretrained import PRETRAINED as PRETRAINED
from bntt.models.pretrained import PretrainedError as PretrainedError
from bntt.models.pretrained import PretrainedFacts as PretrainedFacts
from bntt.models.pretrained import pretrained as pretrained
from bntt.models.pretrained import pretrained_facts as pretrained_facts
from bntt.models.spiking import MODELS as MODELS
from bntt.models.spiking import NeuronOptions as NeuronOptions
from bntt.models.spiking import compact as compact
from bntt.models.spiking import create as create
from bntt.models.spiking import dvs_cnn as dvs_cnn
from bntt.models.spiking import mlp as mlp
from bntt.models.spiking import names as list  # noqa: F401
from bntt.models.spiking import resnet19 as resnet19
from bntt.models.spiking import resnet20 as resnet20
from bntt.models.spiking import vgg6 as vgg6
from bntt.models.spiking import vgg9 as vgg9
from bntt.models.spiking import vgg11 as vgg11

if not TYPE_CHECKING:  # a checker would take every misspelt name for Any
    __getattr__ = _old_names("bntt.models", {"SpikingNetwork": "bntt.SpikingNetwork"})
