"""Random neurons."""

from __future__ import annotations

from bntt.nn import LIF
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.fuzz.dice import Dice


def neurons(dice: Dice, steps: int, threshold: float) -> LIF:
    surrogate = dice.pick(
        (
            Triangle(dice.uniform(0.2, 1)),
            FastSigmoid(dice.uniform(0.5, 10), dice.uniform(0.3, 1)),
            ArcTan(dice.uniform(0.5, 3)),
        )
    )
    learned = dice.chance(0.03)
    leak = dice.uniform(0.1, 0.99) if learned or dice.chance(0.85) else dice.pick((0.0, 1.0))
    return LIF(
        leak,
        threshold,
        learn_leak=learned,
        rule=dice.pick((fire_after, fire_before), (3, 1 if steps > 1 else 0)),  # one step of it never fires
        reset=dice.pick((soft_reset, hard_reset), (2, 1)),
        surrogate=surrogate,
        decay_input=leak < 1 and dice.chance(0.15),
    )
