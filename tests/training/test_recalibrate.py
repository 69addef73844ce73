"""Statistics taken anew: the averages that they are, by hand, for every norm; and that nothing else changes."""

import pytest
import torch

from bntt.models import mlp
from bntt.nn import NORMS, FrameEncoder, Measure, SpikingClassifier, TemporalNorm, hold_statistics, retime
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


@each_row("backend", ["auto", "reference"])
def test_bntt_by_hand(backend, rng):
    """The first layer's current is a product: means of the batches' means and unbiased variances, by step."""
    model, given = built("bntt", backend), batches(rng)
    norm = model.network.blocks["fc1"].norm
    assert recalibrate(model, given, batches=2) == 9
    weight = model.network.blocks["fc1"].synapse[1].weight.detach()
    currents = [x.transpose(0, 1) @ weight.T for x, _ in given[:2]]
    mean = torch.stack([current.mean(1) for current in currents]).mean(0)
    var = torch.stack([current.var(1, unbiased=True) for current in currents]).mean(0)
    assert torch.allclose(norm.running_mean, mean, atol=1e-5)
    assert torch.allclose(norm.running_var, var, atol=1e-5)


@each_row(("norm", "pooled"), [("bn", False), ("bn-pooled", True), ("tdbn", True)])
def test_shared_statistics_by_hand(norm, pooled, rng):
    """One row: over all steps and batches; where a norm pools over time, of all steps of a batch together."""
    model, given = built(norm), batches(rng, (4, 4))
    recalibrate(model, given)
    found = model.network.blocks["fc1"].norm
    weight = model.network.blocks["fc1"].synapse[1].weight.detach()
    currents = [x.transpose(0, 1) @ weight.T for x, _ in given]
    if pooled:
        rows = [(c.flatten(0, 1).mean(0), c.flatten(0, 1).var(0, unbiased=True)) for c in currents]
    else:
        rows = [(step.mean(0), step.var(0, unbiased=True)) for c in currents for step in c]
    assert torch.allclose(found.running_mean[0], torch.stack([mean for mean, _ in rows]).mean(0), atol=1e-5)
    assert torch.allclose(found.running_var[0], torch.stack([var for _, var in rows]).mean(0), rtol=1e-4)


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


@each_row("norm", WITH)
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


def test_a_held_network_gets_statistics_of_its_own_later_steps(rng):
    """The input is louder in every step: held statistics of the last trained step are too small, new ones are right."""
    frames = torch.randn(64, 8, 3, generator=rng) * torch.arange(1, 9).view(1, 8, 1)
    labels = torch.zeros(64, dtype=torch.int64)
    short = built("bntt")
    recalibrate(short, [(frames[:, :T], labels)])
    longer = SpikingClassifier(FrameEncoder(8), retime(short.network, 8, "hold")).eval()
    edges = Measure(current=(-1.0, 1.0))

    def largest():
        _, state = longer.advance(frames, steps=8, measure=edges)
        return state.measured["fc1"].current.maximum

    held = largest()
    recalibrate(longer, [(frames, labels)])
    anew = largest()
    assert held[7] > 1.5 * anew[7]
    assert torch.allclose(held[:4], anew[:4], rtol=1e-3)


def test_what_cannot_be(rng):
    with pytest.raises(ValueError, match="no norm of the network has running statistics"):
        recalibrate(built("none"), batches(rng))
    with pytest.raises(ValueError, match="batches must be 1 or more, got 0"):
        recalibrate(built("bntt"), batches(rng), batches=0)
    with pytest.raises(ValueError, match="gave no batch"):
        recalibrate(built("bntt"), [])
