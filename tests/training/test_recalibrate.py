"""Statistics taken anew: the averages that they are, by hand, for every norm; and that nothing else changes."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import NORMS, FrameEncoder, SpikingClassifier, TemporalNorm, hold_statistics
from bntt.training import recalibrate
from tests.kernels import choose
from tests.rows import each_row

T = 4
WITH = [name for name in NORMS if name not in ("layer", "none")]


def built(norm, backend="auto"):
    net = mlp(in_features=3, hidden=(6, 5), num_classes=2, num_steps=T, leak=0.9, norm=norm, seed=1, dropout=0.5)
    choose(net, backend=backend)
    return SpikingClassifier(FrameEncoder(T), net)


def batches(rng, sizes=(4, 5, 6)):
    return [(torch.randn(size, T, 3, generator=rng), torch.zeros(size, dtype=torch.int64)) for size in sizes]


@each_row(
    "norm, pooled, backend, per_step, rows",
    [
        ("bntt", False, "auto", False, T),
        ("bntt", False, "reference", True, T),
        ("bn", False, "auto", False, 1),
        ("bn", False, "auto", True, T),
        ("bn", False, "reference", True, T),
        ("bn-pooled", True, "auto", True, 1),
        ("tdbn", True, "auto", False, 1),
    ],
)
def test_statistics_by_hand(norm, pooled, backend, per_step, rows, rng):
    """The first layer's current is a product: means of the batches' means and unbiased variances, by step.

    In one row over all steps; where a norm pools over time, of all steps of a batch together. With ``per_step``
    standard BN has a row for every step; a norm that pools keeps the one that it was trained with.
    """
    model, given = built(norm, backend), batches(rng, (4, 4, 6))
    assert recalibrate(model, given, batches=2, per_step=per_step) == 8
    found = model.network.blocks["fc1"].norm
    weight = model.network.blocks["fc1"].synapse[1].weight.detach()
    currents = torch.stack([x.transpose(0, 1) @ weight.T for x, _ in given[:2]])
    currents = currents.flatten(1, 2)[:, None] if pooled else currents
    mean, var = currents.mean(2).mean(0), currents.var(2, unbiased=True).mean(0)
    assert len(found.running_mean) == len(found.running_var) == rows
    if rows == 1:
        mean, var = mean.mean(0, keepdim=True), var.mean(0, keepdim=True)
    assert torch.allclose(found.running_mean, mean, atol=1e-5)
    assert torch.allclose(found.running_var, var, rtol=1e-4)


@each_row("norm", WITH)
def test_deeper_layers_see_the_batch_as_in_training(norm, rng):
    """One batch: fc2's statistics are the moments that a training pass without dropout has, and no old ones count."""
    model, (given,) = built(norm), batches(rng, (8,))
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, TemporalNorm):
                part.running_mean.fill_(9.0)
    recalibrate(model, [given])
    plain = built(norm)
    for module in plain.modules():
        if not isinstance(module, TemporalNorm):
            module.training = False
    with hold_statistics(plain) as held:
        plain(given[0])
    moments = dict(held.moments)["fc2.norm"]
    norm2 = model.network.blocks["fc2"].norm
    mean = moments.mean if len(norm2.running_mean) > 1 else moments.mean.mean(0, keepdim=True)
    assert torch.allclose(norm2.running_mean, mean, atol=1e-5)
    n = torch.tensor(moments.count)[:, None]
    var = moments.var * n / (n - 1)
    var = var if len(norm2.running_var) > 1 else var.mean(0, keepdim=True)
    assert torch.allclose(norm2.running_var, var, atol=1e-5)


@each_row("norm", ["bntt", "tdbn", "tab"])
def test_fused_and_plain_agree_and_nothing_else_changes(norm, rng):
    given = batches(rng)
    fused, plain = built(norm).eval(), built(norm, "reference").eval()
    before = {name: value.clone() for name, value in fused.state_dict().items()}
    for model in (fused, plain):
        recalibrate(model, given)
        assert not any(part.training for part in model.modules())
        assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in fused.state_dict().items():
        if "running" in name and name.startswith("network.blocks.fc1"):
            assert torch.allclose(value, plain.state_dict()[name], atol=1e-5), name
            assert not torch.equal(value, before[name])
        elif "running" not in name:
            assert torch.equal(value, before[name])


@each_row(
    "norm, batch, most, named", [("none", (4,), 1, "norm"), ("bntt", (4,), 0, "batches"), ("bntt", (), 1, "batch")]
)
def test_what_cannot_be(norm, batch, most, named, rng):
    with pytest.raises(ValueError, match=named):
        recalibrate(built(norm), batches(rng, batch), batches=most)


@each_row("backend", ["auto", "reference"])
def test_standard_bn_recalibrated_for_every_step_computes_as_bntt_with_its_gamma(backend, rng):
    """The network that it becomes: BNTT's statistics, one γ and β; the kernels see the new rows."""
    model, given = built("bn", backend).eval(), batches(rng, (8, 8))
    before = model(given[0][0], seed=0)
    recalibrate(model, given, per_step=True)
    twin = built("bntt-beta", backend).eval()
    state = model.state_dict()
    twin.load_state_dict({name: state[name].expand_as(value) for name, value in twin.state_dict().items()})
    assert torch.equal(model(given[0][0], seed=0), twin(given[0][0], seed=0))
    assert not torch.equal(model(given[0][0], seed=0), before)
