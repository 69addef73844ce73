"""The published norms by name: each is a :class:`~bntt.nn.TemporalNorm` with its own statistics and affine map.

They take ``channels, num_steps, eps, momentum`` as that does. ``LayerNorm`` and ``NoNorm`` use no batch statistics.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.kinds import NORMS, NormFacts
from bntt.nn.network.call import ALL_STEPS, Call, check_call
from bntt.nn.norms.temporal import NormMethod, TemporalNorm, check_current, check_space
from bntt.ops.pooling import AllSteps, Window


class _Published(TemporalNorm):
    METHOD: ClassVar[NormMethod]

    def __init__(self, channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> None:
        super().__init__(channels, num_steps, self.METHOD, eps=eps, momentum=momentum)


class _Scaled(TemporalNorm):
    """A norm whose γ is scaled by α θ.

    Args:
        alpha: α.
        threshold: θ of the neurons.
    """

    METHOD: ClassVar[NormMethod]

    def __init__(
        self,
        channels: int,
        num_steps: int,
        *,
        alpha: float = 1.0,
        threshold: float = 1.0,
        eps: float = 1e-4,
        momentum: float = 0.1,
    ) -> None:
        super().__init__(channels, num_steps, self.METHOD, scale=alpha * threshold, eps=eps, momentum=momentum)


@NORMS("bntt")
class BNTT(_Published):
    """Batch Normalization Through Time (Kim & Panda 2021, Eq. 9): own statistics and own γ at every step, no β.

    >>> import torch
    >>> norm = BNTT(8, num_steps=5)
    >>> y, _ = norm(torch.randn(5, 2, 8, 4, 4))
    >>> y.shape, norm.gamma.shape
    (torch.Size([5, 2, 8, 4, 4]), torch.Size([5, 8]))
    """

    METHOD = NormMethod("BNTT")


@NORMS("bntt-scaled")
class ScaledBNTT(_Scaled):
    """BNTT whose normalised input is scaled by α θ, as tdBN does, so that the drive has the threshold's size.

    >>> ScaledBNTT(8, num_steps=5, alpha=0.5, threshold=2.0).scale
    1.0
    """

    METHOD = NormMethod("ScaledBNTT")


@NORMS("tdbn")
class TDBN(_Scaled):
    """tdBN (Zheng et al. 2021): statistics over batch, space and time, ``y = γ · αθ x̂ + β``, all shared over time.

    >>> TDBN(8, num_steps=5).running_mean.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("tdBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)


@NORMS("tebn")
class TEBN(_Published):
    """TEBN (Duan et al. 2022): statistics over time as well, ``y_t = p_t (γ x̂_t + β)`` with a learned scalar p_t.

    >>> TEBN(8, num_steps=5).step_scale.shape
    torch.Size([5])
    """

    METHOD = NormMethod("TEBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True, step_power=1)


@NORMS("tab")
class TAB(_Published):
    """TAB (Jiang et al. 2024): statistics over steps 0..t, ``y_t = p_t² (γ_t x̂_t + β_t)``.

    p enters squared, as in the authors' code.

    >>> TAB(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """

    METHOD = NormMethod("TAB", pooling=Window(None), beta=True, step_power=2)


@NORMS("bntt-beta")
class BetaBNTT(_Published):
    """BNTT with the shift β that the paper omits, one per step like γ.

    >>> BetaBNTT(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """

    METHOD = NormMethod("BetaBNTT", beta=True)


@NORMS("bn")
class SharedBN(_Published):
    """Standard BN called at every step, the paper's "Baseline + standard BN".

    Each step is normalised by its own batch. One γ, one β and one pair of running statistics serve all steps; the
    running statistics are updated T times per update of the weights.

    >>> SharedBN(8, num_steps=5).gamma.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("SharedBN", shared_running=True, shared_gamma=True, beta=True)


@NORMS("bn-pooled")
class PooledBN(_Published):
    """Pooled BN: batch normalisation (Ioffe & Szegedy 2015) with time folded into the batch, one mean for all steps.

    Running statistics are updated once per update of the weights.

    >>> PooledBN(8, num_steps=5).running_var.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("PooledBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)


@NORMS("bntt-shared-gamma")
class SharedGammaBNTT(_Published):
    """BNTT with one γ for all steps; each step keeps its own statistics.

    >>> norm = SharedGammaBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([1, 8]), torch.Size([5, 8]))
    """

    METHOD = NormMethod("SharedGammaBNTT", shared_gamma=True)


@NORMS("bntt-shared-statistics")
class SharedStatisticsBNTT(_Published):
    """BNTT with one pair of statistics, taken over all steps; each step keeps its own γ.

    >>> norm = SharedStatisticsBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([5, 8]), torch.Size([1, 8]))
    """

    METHOD = NormMethod("SharedStatisticsBNTT", pooling=AllSteps(), shared_running=True)


@NORMS("bntt-shared-both")
class SharedBothBNTT(_Published):
    """BNTT with one γ and one pair of statistics, taken over all steps: pooled BN without β.

    >>> norm = SharedBothBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([1, 8]), torch.Size([1, 8]))
    """

    METHOD = NormMethod("SharedBothBNTT", pooling=AllSteps(), shared_running=True, shared_gamma=True)


FAMILY = (
    *(TemporalNorm, BNTT, ScaledBNTT, TDBN, TEBN, TAB, BetaBNTT, SharedBN, PooledBN),
    *(SharedGammaBNTT, SharedStatisticsBNTT, SharedBothBNTT),
)
"""The classes that compute as :class:`~bntt.nn.TemporalNorm` does, and differ only in their method."""


@NORMS("layer")
class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016; the paper's Table 5): statistics over C and space of one sample and step.

    The paper does not say what is learned: here one γ per channel, ``[1, C]``, shared over time, and no β. It computes
    the same in training and evaluation, and takes any number of steps.

    Args:
        channels: C.
        eps: ε, added to the variance.

    >>> y, _ = LayerNorm(8)(torch.randn(5, 2, 8, 4, 4))
    >>> y.shape
    torch.Size([5, 2, 8, 4, 4])
    """

    facts = NormFacts(operations=(2, 3))

    def __init__(self, channels: int, *, eps: float = 1e-4) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.gamma = nn.Parameter(torch.ones(1, channels))

    def forward(
        self, x: Float[Tensor, "S B C *space"], call: Call = ALL_STEPS, state: None = None
    ) -> tuple[Float[Tensor, "S B C *space"], None]:
        """Return ``(y, None)``, y of x's shape ``[S, B, C, ...]``."""
        check_current("LayerNorm", self.channels, x)
        check_space("LayerNorm", self.channels, x, check_call(call))
        dims = tuple(range(2, x.ndim))
        centred = x - x.mean(dims, keepdim=True)
        inverse = (centred.square().mean(dims, keepdim=True) + self.eps).rsqrt()
        return centred * inverse * self.gamma.reshape(1, 1, -1, *[1] * (x.ndim - 3)), None


@NORMS("none")
class NoNorm(nn.Module):
    """No normalisation: Eq. 4 as it stands.

    >>> y, _ = NoNorm()(torch.ones(5, 2, 8))
    >>> y.shape
    torch.Size([5, 2, 8])
    """

    facts = NormFacts(operations=(0, 0), identity=True)

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """Return ``(x, None)``."""
        check_call(call)
        return x, None
