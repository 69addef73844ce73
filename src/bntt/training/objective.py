"""The loss (paper Eq. 5): softmax cross entropy of the accumulated output voltage."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def cross_entropy(logits: Float[Tensor, "B K"], labels: Tensor) -> Float[Tensor, ""]:
    """Eq. 5, ``L = -log softmax(u^T / T)[label]``, averaged over the batch; logits are already divided by T.

    Raises:
        ValueError: on labels that are not one integer a row, or outside 0..K-1; torch would skip -100 in silence.

    >>> import torch
    >>> cross_entropy(torch.zeros(2, 10), torch.tensor([3, 4]))
    tensor(2.3026)
    """
    if labels.shape != logits.shape[:1] or labels.is_floating_point():
        raise ValueError(f"labels must be {len(logits)} integers, got {labels.dtype} {list(labels.shape)}")
    low, high = labels.aminmax()
    if low < 0 or high >= logits.shape[1]:
        raise ValueError(f"labels must be from 0 to {logits.shape[1] - 1}, got {int(low)} to {int(high)}")
    return F.cross_entropy(logits, labels)
