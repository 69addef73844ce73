"""A runtime of NumPy and the compiled kernels, without PyTorch."""

from bntt.deploy.description import BundleError as BundleError
from bntt.deploy.description import DeployError as DeployError
from bntt.deploy.runtime.runtime import EVALUATION as EVALUATION
from bntt.deploy.runtime.runtime import Answers as Answers
from bntt.deploy.runtime.runtime import Runtime as Runtime
from bntt.deploy.runtime.runtime import State as State
from bntt.io.errors import DataError as DataError
from bntt.version import __version__ as __version__
