"""One case: all that is drawn from its number, but the passes themselves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from bntt.nn import LIF, FoldedLIF, SpikingNetwork
from tests.fuzz.conditions import Conditions, draw_conditions
from tests.fuzz.dice import Dice
from tests.fuzz.intrusions import INTRUSIONS
from tests.fuzz.networks import Drawn, draw_network, draw_tiled
from tests.fuzz.uses import USES, Job, tell

Around = Callable[[Job, Dice], AbstractContextManager[Any]]
"""What is done to a job, and around it, before it is used."""


def nothing(job: Job, dice: Dice) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Case:
    """All of one case but the passes themselves."""

    number: int
    drawn: Drawn
    conditions: Conditions
    use: Any
    intrusion: Any
    everywhere: bool
    """Whether there is a global hook."""
    around: Around = nothing
    refuses: bool = False
    """Whether an error is as good as an answer, where plain PyTorch in the same place raises one too."""
    kind: str = "ordinary"


def draw_case(number: int, nudge: int = 0) -> Case:
    dice = Dice(number, "use")
    tiled = Dice(number, "tiled")
    drawn = draw_tiled(tiled) if tiled.chance(0.12) else draw_network(Dice(number, "network"))
    move_thresholds(drawn.net, nudge)
    intrusion = dice.pick(INTRUSIONS) if dice.chance(0.25) else None
    use = dice.pick(list(USES), list(USES.values()))
    conditions = draw_conditions(Dice(number, "conditions"))
    everywhere = dice.chance(0.03)
    if len(drawn.place) == 1 and dice.chance(0.5):  # last, so that the other draws of a number are as they were
        use = tell
    return Case(number, drawn, conditions, use, intrusion, everywhere)


def move_thresholds(net: SpikingNetwork, nudge: int) -> None:
    """A little, so that what was a tie is none."""
    for lif in net.modules():
        if isinstance(lif, FoldedLIF):
            lif.threshold.mul_(1 + 0.003 * nudge)
        elif isinstance(lif, LIF):
            lif.neuron = replace(lif.neuron, threshold=lif.neuron.threshold * (1 + 0.003 * nudge))
