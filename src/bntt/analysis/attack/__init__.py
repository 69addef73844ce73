"""Images changed on purpose, within a stated bound, so that a network errs; and what tells whether a number is sound.

Every accuracy found so is an upper bound of the robust one: a better attack may find less.
"""

from bntt.analysis.attack.descent import Attacked, NoFoolboxError, descend, random_signs
from bntt.analysis.attack.fresh_noise import right_under
from bntt.analysis.attack.gradient import InputGradient, NoGradientError, estimators_of, input_gradient, is_random
from bntt.analysis.attack.square import search
from bntt.analysis.attack.threat import Threat

__all__ = [
    "Attacked",
    "InputGradient",
    "NoFoolboxError",
    "NoGradientError",
    "Threat",
    "descend",
    "estimators_of",
    "input_gradient",
    "is_random",
    "random_signs",
    "right_under",
    "search",
]
