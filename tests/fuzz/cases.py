"""Cases, each drawn from its kind and number: ordinary ones, and those at the borders, on tiny networks.

A kind at the borders is a row: what is done around the use of a network, ways of using it, and the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bntt.nn import LIF, FoldedLIF
from tests.fuzz import changes, conditions, uses
from tests.fuzz.conditions import Conditions, draw_conditions
from tests.fuzz.networks import (
    Dice,
    Drawn,
    draw_equal,
    draw_images,
    draw_network,
    draw_parted,
    draw_streamed,
    draw_tiled,
    draw_tiny,
    draw_wet,
)
from tests.fuzz.uses import USES, Job, advance, interleave, learn, stream, take_statistics, tell, trace

Around = Callable[[Job, Dice], AbstractContextManager[Any]]
"""What is done to a job, and around it, before it is used."""
Uses = Mapping[Callable[[Job], None], float]
USUAL: Uses = {learn: 4, advance: 3, trace: 2, take_statistics: 1, interleave: 1, stream: 2}


def nothing(job: Job, dice: Dice) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Case:
    """All of one case but the passes themselves."""

    number: int
    drawn: Drawn
    conditions: Conditions
    use: Any
    intrusion: Any = None
    everywhere: bool = False
    """Whether there is a global hook."""
    around: Around = nothing
    refuses: bool = False
    """Whether an error is as good as an answer, where plain PyTorch in the same place raises one too."""
    kind: str = "ordinary"


class Kind(NamedTuple):
    """What a case of a kind is drawn from."""

    around: Around = nothing
    uses: Uses = USUAL
    network: Callable[[Dice], Drawn] = draw_tiny
    refuses: bool = False


LEARNED: Uses = {learn: 3, advance: 2, interleave: 1}
KINDS: dict[str, Kind] = {
    "default-dtype": Kind(conditions.default_dtype),
    "default-device": Kind(conditions.default_device, refuses=True),
    "bias": Kind(changes.on_some(changes.another_bias), refuses=True),
    "layout": Kind(changes.on_some(changes.another_layout), refuses=True),
    "plain-tensor": Kind(changes.on_some(changes.plain_tensor), refuses=True),
    "subclass": Kind(changes.on_some(changes.another_class), refuses=True),
    "geometry": Kind(changes.geometry, network=draw_images, refuses=True),
    "input": Kind(changes.another_input, refuses=True),
    "tied": Kind(changes.tied, {stream: 3, trace: 2, advance: 2, learn: 1}, draw_equal),
    "changed": Kind(uses={uses.stream_while_it_changes: 1}, network=draw_streamed),
    "threads": Kind(conditions.slow_packing, {uses.share_a_state: 1}, draw_streamed),
    "inference": Kind(uses={uses.after_inference: 1}, network=draw_streamed),
    "index": Kind(uses={uses.name_samples: 1}, network=draw_wet),
    "parts": Kind(uses={uses.learn_in_parts: 1}, network=draw_parted, refuses=True),
    "leak": Kind(conditions.extreme_leaks, LEARNED),
    "threshold": Kind(conditions.learned_thresholds, LEARNED),
    "function-mode": Kind(conditions.function_mode),
    "dispatch-mode": Kind(conditions.dispatch_mode),
    "patched": Kind(conditions.patched),
    "transform": Kind(uses={uses.transform: 1}),
}
"""All at the borders, by name."""


def draw_case(number: int, nudge: int = 0, kind: str = "ordinary") -> Case:
    case = _ordinary(number) if kind == "ordinary" else _at_the_borders(number, kind)
    for lif in case.drawn.net.modules():  # thresholds move a little, so that what was a tie is none
        if isinstance(lif, FoldedLIF):
            lif.threshold.mul_(1 + 0.003 * nudge)
        elif isinstance(lif, LIF):
            lif.neuron = replace(lif.neuron, threshold=lif.neuron.threshold * (1 + 0.003 * nudge))
    return case


def _ordinary(number: int) -> Case:
    dice, tiled = Dice(number, "use"), Dice(number, "tiled")
    drawn = draw_tiled(tiled) if tiled.chance(0.12) else draw_network(Dice(number, "network"))
    intrusion = dice.pick(changes.INTRUSIONS) if dice.chance(0.25) else None
    use = dice.pick(list(USES), list(USES.values()))
    everywhere = dice.chance(0.03)
    if len(drawn.place) == 1 and dice.chance(0.5):  # last, so that the other draws of a number are as they were
        use = tell
    return Case(number, drawn, draw_conditions(Dice(number, "conditions")), use, intrusion, everywhere)


def _at_the_borders(number: int, name: str) -> Case:
    """In float32, and more often by events, which read what the network has themselves."""
    kind, dice = KINDS[name], Dice(number, f"{name} conditions")
    around = replace(draw_conditions(dice), precision="fp32", threads=1)
    if dice.chance(0.6):
        around = replace(around, events="measured", crossover=(2.0, dice.pick((0.0, 2.0))))
    elif around.crossover is None:
        around = replace(around, crossover=(0.3, 0.3))
    use = Dice(number, f"{name} use").pick(list(kind.uses), list(kind.uses.values()))
    drawn = kind.network(Dice(number, f"{name} network"))
    return Case(number, drawn, around, use, around=kind.around, refuses=kind.refuses, kind=name)
