"""All kinds of cases at the borders, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fuzz.borders import overrides, parameters, states, surroundings, transforms
from tests.fuzz.borders.tiny import draw_equal, draw_images, draw_parted, draw_streamed, draw_tiny
from tests.fuzz.case import Around, Case, draw_case, move_thresholds, nothing
from tests.fuzz.conditions import Conditions, draw_conditions
from tests.fuzz.dice import Dice
from tests.fuzz.networks import Drawn
from tests.fuzz.uses import Job, advance, interleave, learn, take_statistics, trace

Uses = Mapping[Callable[[Job], None], float]
USUAL: Uses = {learn: 4, advance: 3, trace: 2, take_statistics: 1, interleave: 1, states.stream: 2}


@dataclass(frozen=True)
class Kind:
    """What a case of a kind is drawn from."""

    around: Around = nothing
    uses: Uses = field(default_factory=lambda: USUAL)
    network: Callable[[Dice], Drawn] = draw_tiny
    refuses: bool = False
    """See :attr:`tests.fuzz.case.Case.refuses`."""


def _used(use: Callable[[Job], None], **others: Any) -> Kind:
    return Kind(uses={use: 1}, **others)


def _wet(dice: Dice) -> Drawn:
    """With dropout in most blocks, in training."""
    drawn = draw_tiny(dice, dropout=0.8)
    if dice.chance(0.8):
        drawn.net.train()
    return drawn


KINDS: dict[str, Kind] = {
    "default-dtype": Kind(surroundings.default_dtype),
    "default-device": Kind(surroundings.default_device, refuses=True),
    "bias": Kind(parameters.on_some(parameters.another_bias), refuses=True),
    "layout": Kind(parameters.on_some(parameters.another_layout), refuses=True),
    "plain-tensor": Kind(parameters.on_some(parameters.plain_tensor), refuses=True),
    "subclass": Kind(parameters.on_some(parameters.another_class), refuses=True),
    "geometry": Kind(parameters.geometry, network=draw_images, refuses=True),
    "input": Kind(parameters.another_input, refuses=True),
    "tied": Kind(states.tied, {states.stream: 3, trace: 2, advance: 2, learn: 1}, draw_equal),
    "changed": _used(states.stream_while_it_changes, network=draw_streamed),
    "threads": _used(states.share_a_state, network=draw_streamed, around=states.slow_packing),
    "inference": _used(states.after_inference, network=draw_streamed),
    "index": _used(transforms.name_samples, network=_wet),
    "parts": _used(states.learn_in_parts, network=draw_parted, refuses=True),
    "leak": Kind(surroundings.extreme_leaks, {learn: 3, advance: 2, interleave: 1}),
    "threshold": Kind(surroundings.learned_thresholds, {learn: 3, advance: 2, interleave: 1}),
    "function-mode": Kind(overrides.function_mode),
    "dispatch-mode": Kind(overrides.dispatch_mode),
    "patched": Kind(overrides.patched),
    "transform": _used(transforms.transform),
}


def draw_border(name: str, number: int, nudge: int = 0) -> Case:
    """A case of a kind."""
    if name == "ordinary":
        return draw_case(number, nudge)
    kind = KINDS[name]
    drawn = kind.network(Dice(number, f"{name} network"))
    move_thresholds(drawn.net, nudge)
    use = Dice(number, f"{name} use").pick(list(kind.uses), list(kind.uses.values()))
    conditions = _conditions(Dice(number, f"{name} conditions"))
    return Case(number, drawn, conditions, use, None, False, kind.around, kind.refuses, name)


def _conditions(dice: Dice) -> Conditions:
    """As of any case, but in float32, and more often by events, which read what the network has themselves."""
    drawn = replace(draw_conditions(dice), precision="fp32", threads=1)
    if dice.chance(0.6):
        return replace(drawn, events="measured", crossover=(2.0, dice.pick((0.0, 2.0))))
    return drawn if drawn.crossover is not None else replace(drawn, crossover=(0.3, 0.3))
