"""A network at another T: its tables by the formulas, its numbers beside networks whose tables are set by hand."""

import pytest
import torch

import bntt
from bntt.models import mlp, vgg6
from bntt.nn import NORMS, NormMethod, TemporalNorm, Window
from bntt.nn.network.fold import retime
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
    assert how == "interpolate" or torch.allclose(plain.trace(x).logits[:T], net.trace(x[:T]).logits, atol=1e-4)
    assert a.abs().max() > 0
    if build is mlp:
        fused.train()(x).square().sum().backward()
        for block in fused.blocks.values():
            for name, table in block.norm.step_tables() if isinstance(block.norm, TemporalNorm) else ():
                if isinstance(table, torch.nn.Parameter):
                    assert len(table.grad) == 8, name
                    assert table.grad.reshape(8, -1).any(1).all(), name


@each_row("norm, table", [("bntt", "gamma"), ("tebn", "step_scale")])
def test_holding_a_last_step_near_silence_is_told(norm, table, rng):
    net = built(norm, rng)
    with torch.no_grad():
        getattr(net.blocks["fc2"].norm, table)[-1] = 0.02
    with pytest.warns(UserWarning, match=r"0\.02.* in fc2"):
        retime(net, 8, "hold")
    for wanted, how in ((8, "interpolate"), (5, "hold"), (3, "truncate")):
        retime(net, wanted, how)


def test_tied_tables_stay_tied():
    net = mlp(in_features=4, hidden=(8, 8), num_steps=4)
    net.blocks["fc2"].norm.gamma = net.blocks["fc1"].norm.gamma
    longer = retime(net, 6, "hold")
    assert longer.blocks["fc2"].norm.gamma is longer.blocks["fc1"].norm.gamma
    assert longer.blocks["fc2"].norm.running_mean is not longer.blocks["fc1"].norm.running_mean


def test_modes_and_frozen_parameters_stay(rng):
    window = mlp(hidden=(4,), num_steps=T, norm=lambda c, t, _: TemporalNorm(c, t, NormMethod("W", pooling=Window(3))))
    assert retime(window, 4, "truncate").num_steps == 4
    net = built("bntt", rng)
    net.blocks["fc1"].norm.gamma.requires_grad_(False)
    assert not retime(net, 8, "hold").blocks["fc1"].norm.gamma.requires_grad
    assert not retime(net, 8, "hold").training
    assert retime(net.train(), 8, "hold").blocks["fc1"].norm.training


def test_the_trained_network_of_the_package_runs_longer():
    trained, test = bntt.models.pretrained(), bntt.data.fashion_mnist_bundled().test.select(torch.arange(100))
    network = retime(trained.network, 11, "interpolate")
    encoder = bntt.PoissonEncoder(11, mean=trained.encoder.mean, std=trained.encoder.std)
    longer = bntt.SpikingClassifier(encoder, network)
    assert bntt.analysis.evaluate(longer, bntt.data.SampleLoader(test, 100), draws=1).accuracy.mean > 0.8
