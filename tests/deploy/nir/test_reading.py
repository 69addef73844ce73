"""Graphs of other frameworks: run as NIR defines them, or refused by the name of the node."""

import copy

import nir
import numpy as np
import pytest
import torch

from bntt.deploy import DeployError, Runtime, describe, export, from_nir
from bntt.deploy.description import Encoder, Sum
from bntt.deploy.nir import graph
from bntt.models import pretrained
from tests.deploy.nir import interpreter
from tests.deploy.nir.plain import NONE, ONE, TWO, chain, image_net, lif, loose_net, pooled_net, residual_net, soft_net
from tests.deploy.test_bundle import same
from tests.rows import each_row

STEPS = 12
NETS = {
    "image": (image_net, 1e-4),
    "image, by steps of 0.05 ms": (image_net, 5e-5),
    "pooled currents": (pooled_net, 1e-4),
    "residual": (residual_net, 1e-4),
    "in any order": (loose_net, 1e-4),
    "soft": (soft_net, 1e-4),
    "soft and late": (lambda: soft_net(-0.3, 1e-4), 1e-4),
    "soft, its membrane of gain 0.75": (lambda: soft_net(-0.2, r=1.5), 1e-4),
}


def in_tensors(plain: nir.NIRGraph) -> nir.NIRGraph:
    """The same as Norse and snnTorch hand it out: with parameters of PyTorch in the place of arrays."""
    held = copy.deepcopy(plain)
    for node in held.nodes.values():
        for name, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                setattr(node, name, torch.nn.Parameter(torch.from_numpy(value)))
    return held


@each_row("name", NETS)
def test_plain_graphs_run_as_nir_defines_them(name, tmp_path):
    make, dt = NETS[name]
    plain = make()
    shape = tuple(int(size) for size in plain.nodes["in"].input_type["input"])
    x = np.random.default_rng(2).random((STEPS, 4, *shape))
    expected = interpreter.run(plain, x, dt)
    nir.write(tmp_path / "x.nir", plain)
    for source in (plain, tmp_path / "x.nir", in_tensors(plain)):
        made = from_nir(source, encoder=Encoder("frames", STEPS), classes="ab", dt=dt)
        found = Runtime(made, "float64").run(np.moveaxis(x, 0, 1))
        assert np.abs(found - expected["out"].mean(0)).max() < 1e-10
        assert np.abs(Runtime(made).run(np.moveaxis(x, 0, 1).astype(np.float32)) - found).max() < 1e-5
    assert made.classes == ("a", "b")
    fired = [
        values.mean() for node, values in expected.items() if isinstance(plain.nodes[node], nir.LIF | nir.Threshold)
    ]
    assert all(0 < rate < 1 for rate in fired)


def test_the_names_of_a_graph_are_those_of_the_layers():
    made = from_nir(residual_net(), encoder=Encoder("frames", STEPS))
    assert [node.name for node in made.nodes] == [
        *("a", "fires", "c", "b", "scaled", "meet.sum1", "meet.sum", "meet", "last")
    ]
    assert [node.reads for node in made.nodes if isinstance(node, Sum)] == [(3, 4), (5, 1)]
    with pytest.raises(DeployError, match=r"encoder=Encoder\('direct', num_steps=8\)"):
        from_nir(residual_net())
    for steps in (0, 1 << 30):
        with pytest.raises(DeployError, match="num_steps"):
            from_nir(residual_net(), encoder=Encoder("frames", steps))


def test_an_encoder_and_classes_take_the_place_of_the_graphs():
    made = describe(pretrained())
    found = from_nir(graph.build(made), encoder=Encoder("direct", 8), classes="abcdefghij")
    assert (found.encoder.kind, found.classes[9]) == ("direct", "j")
    assert same(found.nodes, made.nodes)
    with pytest.raises(DeployError, match=r"metadata scale is float64 \[8, 16\], expected \[9, 16\]"):
        from_nir(graph.build(made), encoder=Encoder("direct", 9))


def cuba() -> nir.CubaLIF:
    return nir.CubaLIF(*(np.ones(4) for _ in range(5)))


def linear(rows: int = 2, columns: int = 36) -> nir.Linear:
    return nir.Linear(np.ones((rows, columns)))


def flat() -> nir.Flatten:
    return nir.Flatten({"input": np.array([1, 6, 6])}, 0, -1)


def conv(**other) -> nir.Conv2d:
    told = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1} | other
    return nir.Conv2d(None, np.ones((1, 1, 3, 3)), **told, bias=np.zeros(1))


def pool(kind=nir.AvgPool2d, size=TWO, stride=TWO, padding=NONE) -> nir.NIRNode:
    return kind(size, stride, padding)


def dangling() -> nir.NIRGraph:
    made = residual_net()
    made.nodes["end"] = linear()
    made.edges.append(("fires", "end"))
    return made


def looped() -> nir.NIRGraph:
    made = residual_net()
    made.edges.append(("meet", "b"))
    return made


REFUSED = [
    (lambda: chain(linear(4), cuba(), shape=(36,)), r"'n1' \(CubaLIF\): the library has no such part, but Input"),
    (lambda: chain(nir.Conv1d(6, np.ones((1, 1, 3)), 1, 0, 1, 1, np.zeros(1))), r"'n0' \(Conv1d\): the library has no"),
    (lambda: chain(residual_net()), r"'n0' \(NIRGraph\): the library has no such part"),
    (lambda: chain(linear()), r"'n0' \(Linear\): it reads an image: a Flatten must stand before it"),
    (lambda: chain(flat(), linear(2, 35)), r"'n1': its weights \[2, 35\] .* do not fit \[1, 6, 6\]"),
    (lambda: chain(flat(), linear(), conv()), r"'n2' \(Conv2d\): it reads features, and a convolution needs an image"),
    (
        lambda: chain(nir.Flatten({"input": None}, 1, -1), linear()),
        r"'n0' \(Flatten\): it flattens from 1 to -1: all of 3",
    ),
    (lambda: chain(conv(padding="same", stride=2)), r"'n0' \(Conv2d\): its padding is 'same', which is not the same"),
    (
        lambda: chain(conv(stride=0)),
        r"'n0' \(Conv2d\): its stride is \[0, 0\], expected one or two whole numbers from 1",
    ),
    (lambda: chain(conv(groups=2)), r"'n0': .* in 2 groups do not fit"),
    (
        lambda: chain(flat(), lif(36, v_threshold=np.arange(1.0, 37.0)), linear()),
        r"'n1': its scale is float64 \[3, 1\]|its threshold is float64 \[1, 36\], expected",
    ),
    (lambda: chain(pool(stride=ONE), flat(), linear()), r"'n0' \(AvgPool2d\): it pools \(2, 2\) by steps of \(1, 1\)"),
    (lambda: chain(conv(), pool(padding=ONE)), r"'n1' \(AvgPool2d\): .* padded by \(1, 1\)"),
    (lambda: chain(pool()), r"the readout gives \[1, 3, 3\], and 1 classes"),
    (lambda: chain(conv(), nir.I(np.ones((1, 6, 6)))), r"'n1' \(I\): a Threshold must follow it"),
    (
        lambda: soft_net(-0.2),
        r"'back_reset' \(Scale\): it leads back -0.2, expected minus its leak times its .*: -0.15",
    ),
    (lambda: soft_net(-0.15, 1e-4), r"'back_reset' \(Scale\): .* minus its threshold, as a Delay follows, .*: -0.3"),
    (lambda: soft_net(-0.15, r=1.5), r"'back_reset' .*, expected minus .*, over the gain of membrane: -0.2"),
    (lambda: soft_net(-0.3, 2e-4), r"'late' \(Delay\): it must delay neurons by one step, 0.0001 s"),
    (lambda: chain(conv(), nir.Delay(np.full((1, 6, 6), 1e-4))), r"'n1' \(Delay\): it must delay neurons by one step"),
    (
        lambda: chain(conv(), lif(1, 6, 6, v_reset=0.1)),
        r"'n1' \(LIF\): its v_reset is not 0, to which the library's neurons",
    ),
    (lambda: chain(conv(), lif(1, 6, 6, v_leak=0.1)), r"'n1' \(LIF\): its v_leak must be 0"),
    (lambda: chain(conv(), lif(1, 6, 6, tau=5e-5)), r"'n1' \(LIF\): .* its tau at least dt = 0.0001"),
    (lambda: chain(conv(), lif(1, 6, 6, v_threshold=0.0)), r"'n1' \(LIF\): its threshold must be above 0"),
    (lambda: chain(conv(), lif(1, 6, 6, tau=np.nan)), r"'n1' \(LIF\): its tau .* all finite"),
    (
        lambda: chain(conv(), lif(1, 6, 6, v_threshold=np.arange(1.0, 7.0))),
        r"'n1' \(LIF\): its v_threshold is .*, expected one number for all neurons, or for each channel",
    ),
    (lambda: chain(conv(), lif(1, 6, 5, tau=np.arange(1.0, 6.0))), r"'n1' \(LIF\): its tau is float64 \[1, 6, 5\]"),
    (dangling, r"'end' \(Linear\): it leads to no output"),
    (looped, "a loop leads back to it that is no soft reset"),
    (lambda: chain(shape=(1, 2)), r"'in' \(Input\): its shape is \[1, 2\], expected one step of a sample"),
]


@each_row("make, said", REFUSED)
def test_what_the_library_has_not_is_refused_by_name(make, said):
    with pytest.raises(DeployError, match=said) as refused:
        from_nir(make(), encoder=Encoder("direct", 3))
    assert len(str(refused.value)) < 300


def spoiled(name: str, field: str, value) -> nir.NIRGraph:
    made = graph.build(describe(pretrained()))
    node = made.nodes[name]
    if field in node.metadata:
        node.metadata[field] = value(node.metadata[field])
    else:
        setattr(node, field, value(getattr(node, field)))
    return made


@each_row(
    "name, field, value, said",
    [
        ("conv1_norm", "scale", lambda old: 2 * old, "its metadata scale and its numbers differ"),
        ("conv1_norm", "bias", lambda old: 2 * old, "its metadata shift and its numbers differ"),
        ("conv1_norm", "shift", lambda old: old[:, :1], r"its metadata shift is float64 \[8, 1\], expected \[8, 16\]"),
        ("conv1_norm", "gamma", lambda old: "γ", r"its metadata gamma is .*, expected \[8\]"),
        ("conv1_norm", "weight", lambda old: old + 1, "call it a norm, but it does not scale each channel"),
        ("conv2_li", "leak", lambda old: old / 2, "its metadata leak and its numbers differ"),
        ("conv2_li", "threshold", lambda old: old / 2, "its metadata threshold and its numbers differ"),
        (
            "conv2_reset",
            "scale",
            lambda old: old / 2,
            "'conv2_reset' .* it leads back -0.475, expected minus its leak times its .*: -0.95",
        ),
    ],
)
def test_tables_that_do_not_belong_to_their_nodes_are_refused(name, field, value, said):
    with pytest.raises(DeployError, match=said):
        from_nir(spoiled(name, field, value))


def test_errors_of_a_file_name_it(tmp_path):
    nir.write(tmp_path / "x.nir", spoiled("conv1_norm", "weight", lambda old: old + 1))
    with pytest.raises(DeployError, match=r"x\.nir': 'conv1_norm' \(Conv2d\): its metadata call it a norm"):
        from_nir(tmp_path / "x.nir")
    nir.write(tmp_path / "y.nir", chain(linear(4), cuba(), shape=(36,)))
    with pytest.raises(DeployError, match=r"y\.nir': 'n1' \(CubaLIF\)"):
        from_nir(str(tmp_path / "y.nir"), encoder=Encoder("direct", 3))
    with pytest.raises(DeployError, match="dt must be seconds of a step"):
        from_nir(tmp_path / "x.nir", dt=0)


def test_a_description_from_a_graph_is_exported_as_any_other(tmp_path):
    made = from_nir(image_net(), encoder=Encoder("direct", 3))
    export(made, tmp_path / "x.safetensors")
    images = np.random.default_rng(0).random((2, 1, 6, 6))
    expected = Runtime(made, "float64").run(images)
    assert np.abs(Runtime(tmp_path / "x.safetensors", "float64").run(images) - expected).max() < 1e-5
    assert same(from_nir(graph.build(made)), made)
