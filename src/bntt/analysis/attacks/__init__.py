"""Images changed on purpose, within a stated bound, so that a network errs; and what tells whether a number is sound.

Every accuracy found so is an upper bound of the robust one: a better attack may find less.
"""

from bntt.analysis.attacks.descent import Attacked, NoFoolboxError, descend, random_signs
from bntt.analysis.attacks.gradient import InputGradient, NoGradientError, estimators_of, input_gradient, is_random
from bntt.analysis.attacks.measured import right_under
from bntt.analysis.attacks.square import search
from bntt.analysis.attacks.threat import Threat

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
