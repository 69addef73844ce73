"""No update from numbers that are not finite: a NaN membrane never fires, so the loss alone can look healthy."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NonFiniteError(ArithmeticError):
    """Training met a NaN or an infinity and stopped before the update."""


def check_finite(model: nn.Module, loss: Tensor) -> None:
    """Raise unless the loss and the norm of all gradients are finite; the error names where it was found.

    Raises:
        NonFiniteError: before the optimiser could use the step.

    >>> layer = nn.Linear(1, 1)
    >>> check_finite(layer, layer(torch.ones(1, 1)).sum())
    """
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients) if gradients else torch.zeros(())
    if bool(torch.isfinite(loss) & torch.isfinite(norm)):
        return
    raise NonFiniteError(
        f"the loss is {float(loss):.4g} and the gradient norm {float(norm):.4g}; first seen in {_first_site(model)}. "
        f"No weight was updated (running statistics took the batch in); lower the learning rate or check the data"
    )


def _first_site(model: nn.Module) -> str:
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"parameter {name}"
    for name, buffer in model.named_buffers():
        if not torch.isfinite(buffer).all():
            return f"buffer {name}"
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"the gradient of {name}"
    return "the loss alone"
