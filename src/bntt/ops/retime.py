"""Resampling of tables with a row for every time step to another number of steps: a matrix over time.

A norm's table with a row for each of T steps (γ, β, p, running mean and variance), ``row[0..T-1]``, becomes
``new = A row`` with a row-stochastic A of ``[T', T]``:

* ``truncate`` (T' ≤ T): ``new[t] = row[t]``, the rows of the first T' steps;
* ``hold`` (T' ≥ T): ``new[t] = row[min(t, T-1)]``, the last row repeated;
* ``interpolate`` (T' ≥ T): with ``s = t (T-1) / (T'-1)`` and ``k = ⌊s⌋``, ``new[t] = (1 - s + k) row[k] + (s - k)
  row[k+1]``: the same curve, stretched; the first and the last row stay.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

RETIMINGS = ("truncate", "hold", "interpolate")


def retiming(steps: int, wanted: int, how: str) -> Float64[Tensor, "wanted steps"]:
    """Return the matrix A, ``[wanted, steps]``, that turns tables of ``steps`` steps into tables of ``wanted`` steps.

    Args:
        steps, wanted: T and T', rows of the given and of the new tables.
        how: "truncate", "hold" or "interpolate", as defined above.

    Raises:
        ValueError: if a number of steps is below 1, or ``how`` is unknown or leads in the other direction.

    >>> retiming(2, 3, "hold")
    tensor([[1., 0.],
            [0., 1.],
            [0., 1.]], dtype=torch.float64)
    >>> retiming(2, 3, "interpolate")
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    fits = wanted <= steps if how == "truncate" else wanted >= steps
    if how not in RETIMINGS or min(steps, wanted) < 1 or not fits:
        raise ValueError(f"'truncate' only removes steps, others only add some, got {how!r} from {steps} to {wanted}")
    one = torch.eye(steps, dtype=torch.float64)
    if how == "interpolate":
        s = torch.arange(wanted, dtype=torch.float64) * (steps - 1) / max(1, wanted - 1)
        k = s.floor().long()
        part = (s - k)[:, None]
        return (1 - part) * one[k] + part * one[(k + 1).clamp(max=steps - 1)]
    return one[torch.arange(wanted).clamp(max=steps - 1)]
