"""The names of ``bntt.deploy`` and the files that they come from; the package reads this list when it is imported."""

from bntt.deploy.description import BundleError as BundleError
from bntt.deploy.description import DeployError as DeployError
from bntt.deploy.description import Description as Description
from bntt.deploy.description import Encoder as Encoder
from bntt.deploy.description import Pictures as Pictures
from bntt.deploy.from_torch import Constant as Constant
from bntt.deploy.from_torch import choose_constant as choose_constant
from bntt.deploy.from_torch import describe as describe
from bntt.deploy.from_torch import export as export
from bntt.deploy.from_torch import make_constant as make_constant
from bntt.deploy.nir.graph import from_nir as from_nir
from bntt.deploy.runtime.runtime import Runtime as Runtime
