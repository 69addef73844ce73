"""A runtime of NumPy and the compiled kernels, without PyTorch."""

from bntt.deploy.runtime.runtime import Answers as Answers
from bntt.deploy.runtime.runtime import Runtime as Runtime
from bntt.deploy.runtime.state import State as State
