"""A network at another T: its tables by the formulas, its numbers beside networks whose tables are set by hand."""

import warnings

import pytest
import torch

import bntt
from bntt.models import mlp, vgg6
from bntt.nn import NORMS, NormMethod, TemporalNorm, Window, fold
from bntt.nn.network.fold import faint_at_the_end, retime
from tests.grids import every_value
from tests.kernels import choose
from tests.rows import each_row

T = 5
TABLES = ("gamma", "beta", "step_scale", "running_mean", "running_var")
PER_STEP = {
    "bntt": ("gamma", "running_mean", "running_var"),
    "bntt-scaled": ("gamma", "running_mean", "running_var"),
    "bntt-beta": ("gamma", "beta", "running_mean", "running_var"),
    "tdbn": (),
    "tebn": ("step_scale",),
    "tab": ("gamma", "beta", "step_scale", "running_mean", "running_var"),
    "bn": (),
    "bn-pooled": (),
    "bntt-shared-gamma": ("running_mean", "running_var"),
    "bntt-shared-statistics": ("gamma",),
    "bntt-shared-both": (),
}


def built(norm, rng, backend="auto", build=mlp):
    """A network whose tables differ in every row."""
    options = {"in_features": 3, "hidden": (6, 5)} if build is mlp else {"width": 0.125}
    net = build(num_classes=4, num_steps=T, leak=0.9, norm=norm, seed=1, **options)
    choose(net, backend=backend)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, TemporalNorm):
                for name in TABLES:
                    if (table := getattr(module, name)) is not None:
                        table.copy_(torch.rand(table.shape, generator=rng) + 0.5)
                module.running_mean.sub_(1)
    return net.eval()


def expected(table, wanted, how):
    """Row by row, as ops/retime.py states it."""
    rows = []
    for t in range(wanted):
        s = t * (T - 1) / (wanted - 1) if how == "interpolate" and wanted > 1 else min(t, T - 1)
        k = min(int(s), T - 1)
        rows.append((1 - s + k) * table[k] + (s - k) * table[min(k + 1, T - 1)])
    return torch.stack(rows)


@each_row("norm", PER_STEP)
@each_row("how, wanted", [("truncate", 3), ("hold", 8), ("interpolate", 8)])
def test_every_table_is_by_its_formula_and_what_is_shared_stays(norm, how, wanted, rng):
    net = built(norm, rng)
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    new = retime(net, wanted, how)
    for name, block in net.blocks.items():
        old, made = block.norm, new.blocks[name].norm
        assert tuple(table for table, _ in old.step_tables()) == PER_STEP[norm]
        assert (made.num_steps, made.path, made.method) == (wanted, old.path, old.method)
        for table in TABLES:
            was, now = getattr(old, table), getattr(made, table)
            if table in PER_STEP[norm]:
                assert torch.allclose(now, expected(was, wanted, how), atol=1e-6), table
                assert type(now) is type(was)
            elif was is not None:
                assert torch.equal(now, was)
                assert now.data_ptr() != was.data_ptr()
    assert (net.num_steps, new.num_steps) == (T, wanted)
    assert all(torch.equal(value, kept[name]) for name, value in net.state_dict().items())


@each_row("norm", NORMS)
@each_row("backend", ["auto", "reference"])
def test_truncated_is_the_networks_own_first_steps(norm, backend, rng):
    net, x = built(norm, rng, backend), torch.randn(T, 4, 3, generator=rng)
    logits = retime(net, 3, "truncate")(x[:3])
    assert torch.allclose(logits, net(x[:3], steps=3), atol=1e-6)
    assert logits.abs().max() > 0


@every_value(norm=NORMS, how__build=[("hold", mlp), ("interpolate", mlp), ("hold", vgg6)])
def test_longer_is_the_same_fused_and_plain_and_in_training(norm, how, build, rng):
    """Spikes agree but for ties, which would show in the logits of one sample; gradients reach every row."""
    shape = (8, 4, 3) if build is mlp else (8, 4, 1, 28, 28)
    x = torch.randn(shape, generator=rng)
    net = built(norm, rng, build=build)
    fused, plain = retime(net, 8, how), retime(net, 8, how)
    choose(plain, backend="reference")
    a, b = fused(x), plain(x)
    assert ((a - b).abs().amax(1) < 1e-4).sum() >= 3
    assert a.abs().max() > 0
    if norm not in ("none", "layer"):
        with pytest.raises(ValueError, match=r"takes .* of 8 time steps"):
            fused(x[:5])
    if build is mlp:
        fused.train()(x).square().sum().backward()
        for block in fused.blocks.values():
            for name, table in block.norm.step_tables() if isinstance(block.norm, TemporalNorm) else ():
                if isinstance(table, torch.nn.Parameter):
                    assert len(table.grad) == 8, name
                    assert table.grad.reshape(8, -1).any(1).all(), name


def test_the_first_steps_of_a_held_network_are_what_they_were(rng):
    net, x = built("bntt", rng), torch.randn(8, 4, 3, generator=rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        longer = retime(net, 8, "hold")
    assert torch.allclose(longer.trace(x).logits[:T], net.trace(x[:T]).logits, atol=1e-6)


def test_holding_a_last_gamma_near_zero_is_told_with_its_numbers(rng):
    net = built("bntt", rng)
    with torch.no_grad():
        net.blocks["fc2"].norm.gamma[-1] = torch.tensor([0.02, -0.04, 0.0, 0.02, 0.02])
    assert faint_at_the_end(net) == {"fc2": pytest.approx(0.02)}
    with pytest.warns(UserWarning, match=r"last of 5 steps is held for 3 more, .* near 0, 0.02 in fc2: these .*silent"):
        retime(net, 8, "hold")
    for wanted, how in ((8, "interpolate"), (5, "hold"), (3, "truncate")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            retime(net, wanted, how)


def test_p_counts_as_gamma_and_what_is_shared_is_no_last_step(rng):
    net = built("tebn", rng)
    with torch.no_grad():
        net.blocks["fc1"].norm.step_scale[-1] = 0.001
    assert list(faint_at_the_end(net)) == ["fc1"]
    shared = built("bn", rng)
    with torch.no_grad():
        shared.blocks["fc1"].norm.gamma.zero_()
    assert faint_at_the_end(shared) == {}


def test_tied_tables_stay_tied():
    net = mlp(in_features=4, hidden=(8, 8), num_steps=4)
    net.blocks["fc2"].norm.gamma = net.blocks["fc1"].norm.gamma
    longer = retime(net, 6, "hold")
    assert longer.blocks["fc2"].norm.gamma is longer.blocks["fc1"].norm.gamma
    assert longer.blocks["fc2"].norm.running_mean is not longer.blocks["fc1"].norm.running_mean


def test_modes_and_frozen_parameters_stay(rng):
    net = built("bntt", rng)
    net.blocks["fc1"].norm.gamma.requires_grad_(False)
    assert not retime(net, 8, "hold").blocks["fc1"].norm.gamma.requires_grad
    assert not retime(net, 8, "hold").training
    assert retime(net.train(), 8, "hold").blocks["fc1"].norm.training


def test_parts_that_are_not_known_are_named(rng):
    net = built("bntt", rng)
    with pytest.raises(TypeError, match=r"FoldedLIF 'fc1.lif' has 5 steps .*: retime a network before it is folded"):
        retime(fold(net), 8, "hold")
    with pytest.raises(TypeError, match=r"FoldedLIF 'fc1.lif' has 1 steps"):
        retime(fold(retime(net, 1, "truncate")), 8, "hold")
    window = mlp(hidden=(4,), num_steps=T, norm=lambda c, t, _: TemporalNorm(c, t, NormMethod("W", pooling=Window(3))))
    assert retime(window, 4, "truncate").num_steps == 4
    with pytest.raises(ValueError, match=r"W 'fc1.norm' pools over 4 steps, a step and 3 before it, but has only 3"):
        retime(window, 3, "truncate")
    for norm in ("none", "bntt"):
        with pytest.raises(ValueError, match="got 'stretch' from"):
            retime(built(norm, rng), 8, "stretch")
        with pytest.raises(ValueError, match=r"numbers of steps must be 1 or more, got .* to -3"):
            retime(built(norm, rng), -3, "hold")


def test_the_trained_network_of_the_package_runs_longer():
    trained, test = bntt.models.pretrained(), bntt.data.fashion_mnist_bundled().test.select(torch.arange(100))
    network = retime(trained.network, 11, "interpolate")
    encoder = bntt.PoissonEncoder(11, mean=trained.encoder.mean, std=trained.encoder.std)
    longer = bntt.SpikingClassifier(encoder, network)
    assert bntt.analysis.evaluate(longer, bntt.data.SampleLoader(test, 100), draws=1).accuracy.mean > 0.8
