"""The loss along a gradient: a record that is read without torch."""

from __future__ import annotations

from bntt.analysis.result import Number, Record, finite


class AlongGradient(Record):
    """The loss at ``w - η g``, where ``g = dL/dw`` of the same batch (Santurkar et al. 2018, Figure 4).

    All parameters move, including γ; momentum and weight decay play no part.
    Returned by :func:`bntt.analysis.loss_along_gradient`.
    """

    steps: tuple[float, ...]
    """Step sizes η."""
    start: Number
    """Loss at the start, L(w)."""
    norm: Number
    """Norm of the gradient, ‖g‖₂."""
    loss: tuple[Number, ...]
    """L(w - η g) for each η."""
    change: tuple[Number, ...]
    """Gradient predictiveness: ``‖g(w) - g(w - η g)‖₂`` for each η."""

    @property
    def predicted(self) -> tuple[Number, ...]:
        """The loss predicted by the gradient: ``L(w) - η ‖g‖²``."""
        start, norm = self.start, self.norm
        return tuple(None if start is None or norm is None else finite(start - eta * norm**2) for eta in self.steps)

    @property
    def range(self) -> tuple[Number, Number]:
        """The lowest and the highest loss of the steps; None if one of them is not a number."""
        known = [loss for loss in self.loss if loss is not None]
        return (min(known), max(known)) if len(known) == len(self.loss) else (None, None)
