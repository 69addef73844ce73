"""Use with other frameworks: norms in their networks, their neurons in ours, export of weights, Lightning and the hub.

Code for all peers is in this package, and imports none of them. Code for one peer is in the module of its name:
``bntt.interop.spikingjelly``, ``lightning`` and ``hub`` import that peer when they are imported; ``snntorch`` and
``norse`` only wrap its objects.
"""

from pkgutil import resolve_name
from typing import Any

from bntt.interop.adapters import Cell as Cell
from bntt.interop.adapters import Layer as Layer
from bntt.interop.adapters import Step as Step
from bntt.interop.adapters import as_cell as as_cell
from bntt.interop.adapters import as_layer as as_layer
from bntt.interop.adapters import as_step as as_step
from bntt.interop.adapters import reset as reset
from bntt.interop.replace import replace_batchnorm as replace_batchnorm
from bntt.interop.weights import to_state_dict as to_state_dict

PEERS = ("hub", "lightning", "norse", "snntorch", "spikingjelly")


def __getattr__(name: str) -> Any:
    """Import the module of a peer when it is asked for."""
    if name in PEERS:
        return resolve_name(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
