"""bntt: train deep spiking networks from scratch with few time steps (Kim & Panda 2021).

Names resolve on first use, so that ``import bntt`` and ``bntt --help`` do not wait for torch.
"""

from bntt.doors import door
from bntt.version import __version__ as __version__

__all__, __getattr__, __dir__ = door(__name__, __file__)
