"""Networks that bntt trained, run without PyTorch: by NumPy and compiled kernels.

Where bntt is installed too, these names are its own, so that there is one class of each; where it is not, they are
those of the copies that this distribution was packed with.

>>> import bntt.deploy
>>> Runtime is bntt.deploy.Runtime
True
"""

try:
    from bntt.deploy.runtime import (
        EVALUATION,
        Answers,
        BundleError,
        DataError,
        DeployError,
        Runtime,
        State,
        __version__,
    )
except ImportError as error:
    if error.name not in ("bntt", "bntt.deploy", "bntt.deploy.runtime") or error.path is not None:
        raise  # bntt is here, and something else is wrong; what is missing, or a folder without files, has no path
    from bntt_runtime.deploy.runtime import (  # type: ignore[no-redef]
        EVALUATION,
        Answers,
        BundleError,
        DataError,
        DeployError,
        Runtime,
        State,
        __version__,
    )

__all__ = ["EVALUATION", "Answers", "BundleError", "DataError", "DeployError", "Runtime", "State", "__version__"]
