"""Guard against non-finite updates: a NaN membrane never fires, so the loss alone can look healthy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim

from bntt.nn.norms import HeldStatistics
from bntt.nn.tensor_checks import NonFiniteError as NonFiniteError
from bntt.nn.tensor_checks import first_non_finite
from bntt.training.optimizer import stepped

Named = tuple[str, Tensor]


def check_finite(
    model: nn.Module, loss: Tensor, optimizer: optim.Optimizer | None = None, held: HeldStatistics | None = None
) -> Tensor:
    """Return the norm of the gradients that are stepped; raise at the first place where anything is not finite."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    gradients = [
        (f"the gradient of {names.get(one, 'a parameter')}", one.grad)  # type: ignore[call-overload]
        for one in (names if optimizer is None else stepped(optimizer))
        if one.grad is not None
    ]
    others = list(_read(model, optimizer, held))
    norm = _norm(gradients)
    if bool(torch.isfinite(loss) & torch.isfinite(norm) & torch.isfinite(_norm(others))):
        return norm
    site = first_non_finite([*others, *gradients])  # causes first
    if site is None and bool(torch.isfinite(loss)):
        if bool(torch.isfinite(norm)):
            return norm  # all numbers are finite, but their norm overflows
        site = "no single number, the norm is too large"
    raise NonFiniteError(
        f"the loss is {float(loss):.4g} and the gradient norm {float(norm):.4g}; first seen in "
        f"{site or 'the loss alone'}. The update was skipped; lower the learning rate or check the data"
    )


def check_state(model: nn.Module, optimizer: optim.Optimizer | None = None) -> None:
    """Raise unless weights, statistics and momentum are finite, before they are saved."""
    site = first_non_finite(_read(model, optimizer))
    if site is not None:
        raise NonFiniteError(
            f"{site} is not finite after the last update: it is not kept; train again with a lower learning rate"
        )


def _norm(values: Sequence[Named]) -> Tensor:
    return torch.nn.utils.get_total_norm([value for _, value in values]) if values else torch.zeros(())


def _read(model: nn.Module, optimizer: optim.Optimizer | None, held: HeldStatistics | None = None) -> Iterator[Named]:
    """Yield the tensors an update reads besides loss and gradients."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    yield from ((f"parameter {name}", parameter.detach()) for parameter, name in names.items())
    yield from ((f"buffer {name}", value) for name, value in model.named_buffers() if value.is_floating_point())
    if optimizer is not None:
        yield from (("a parameter outside", one.detach()) for one in stepped(optimizer) if one not in names)
    for parameter, state in optimizer.state.items() if optimizer is not None else ():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                yield f"{key} of {names.get(parameter, 'a parameter')}", value
    for label, moments in held.moments if held is not None else ():
        yield f"the batch mean of {label}", moments.mean
        yield f"the batch variance of {label}", moments.var
    for (part, name), value in held.moved.items() if held is not None else ():
        if value.is_floating_point():
            yield f"the buffer {name} of {type(part).__name__}", value


@dataclass
class LossWatch:
    """Detector of a loss more than eight deviations, and half, above its mean of about fifty updates, jumps clipped."""

    mean: float = 0.0
    variance: float = 0.0
    count: int = 0

    def jumped(self, loss: float) -> bool:
        """Return True if the loss of this update is a jump; update the averages with it."""
        limit = max(8 * math.sqrt(self.variance), 0.5 * abs(self.mean))
        jump = self.count >= 50 and loss - self.mean > limit
        share = max(0.02, 1 / (self.count + 1))
        change = min(loss - self.mean, limit) if jump else loss - self.mean
        self.variance = (1 - share) * (self.variance + share * change * change)
        self.mean, self.count = self.mean + share * change, self.count + 1
        return jump
