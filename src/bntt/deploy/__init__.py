"""Out of the laboratory: a trained network as plain data, in a bundle, ONNX or NIR, and run without PyTorch.

Names resolve on first use: what runs a bundle never waits for torch, nor needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bntt.deploy.constant_in_time import Constant as Constant
    from bntt.deploy.constant_in_time import choose_constant as choose_constant
    from bntt.deploy.constant_in_time import make_constant as make_constant
    from bntt.deploy.description import Description as Description
    from bntt.deploy.description import Encoder as Encoder
    from bntt.deploy.description import Pictures as Pictures
    from bntt.deploy.errors import BundleError as BundleError
    from bntt.deploy.errors import DeployError as DeployError
    from bntt.deploy.from_torch import describe as describe
    from bntt.deploy.nir.reading import from_nir as from_nir
    from bntt.deploy.runtime.runtime import Runtime as Runtime
    from bntt.deploy.targets import export as export

_HOME_OF = {
    "Constant": "bntt.deploy.constant_in_time",
    "choose_constant": "bntt.deploy.constant_in_time",
    "make_constant": "bntt.deploy.constant_in_time",
    "describe": "bntt.deploy.from_torch",
    "Description": "bntt.deploy.description",
    "Encoder": "bntt.deploy.description",
    "Pictures": "bntt.deploy.description",
    "BundleError": "bntt.deploy.errors",
    "DeployError": "bntt.deploy.errors",
    "from_nir": "bntt.deploy.nir.reading",
    "Runtime": "bntt.deploy.runtime.runtime",
    "export": "bntt.deploy.targets",
}

__all__ = [*_HOME_OF]


if not TYPE_CHECKING:  # a checker would take every misspelt name for Any

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            return getattr(import_module(_HOME_OF[name]), name)
        raise AttributeError(f"module 'bntt.deploy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
