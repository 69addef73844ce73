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
    for encoder, named in (
        (None, "encoder="),
        (Encoder("frames", 0), "num_steps"),
        (Encoder("frames", 1 << 30), "num_steps"),
    ):
        with pytest.raises(DeployError, match=named):
            from_nir(residual_net(), encoder=encoder)


def test_an_encoder_and_classes_take_the_place_of_the_graphs():
    made = describe(pretrained())
    found = from_nir(graph.build(made), encoder=Encoder("direct", 8), classes="abcdefghij")
    assert (found.encoder.kind, found.classes[9]) == ("direct", "j")
    assert same(found.nodes, made.nodes)
    with pytest.raises(DeployError, match="metadata scale"):
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


def behind(node: nir.NIRNode) -> nir.NIRGraph:
    return chain(conv(), node)


REFUSED = [
    (lambda: chain(linear(4), cuba(), shape=(36,)), r"'n1' \(CubaLIF\)"),
    (lambda: chain(nir.Conv1d(6, np.ones((1, 1, 3)), 1, 0, 1, 1, np.zeros(1))), r"'n0' \(Conv1d\)"),
    (lambda: chain(residual_net()), r"'n0' \(NIRGraph\)"),
    (lambda: chain(linear()), r"'n0' \(Linear\)"),
    (lambda: chain(flat(), linear(2, 35)), "'n1': its weights"),
    (lambda: chain(flat(), linear(), conv()), r"'n2' \(Conv2d\)"),
    (lambda: chain(nir.Flatten({"input": None}, 1, -1), linear()), r"'n0' \(Flatten\)"),
    (lambda: chain(conv(padding="same", stride=2)), r"'n0' \(Conv2d\): its padding"),
    (lambda: chain(conv(stride=0)), r"'n0' \(Conv2d\): its stride"),
    (lambda: chain(conv(groups=2)), "'n0': .* groups"),
    (lambda: chain(flat(), lif(36, v_threshold=np.arange(1.0, 37.0)), linear()), "'n1'"),
    (lambda: chain(pool(stride=ONE), flat(), linear()), r"'n0' \(AvgPool2d\)"),
    (lambda: chain(pool()), "classes"),
    (lambda: soft_net(-0.2), "'back_reset' .*: -0.15$"),
    (lambda: soft_net(-0.15, 1e-4), "'back_reset' .*: -0.3$"),
    (lambda: soft_net(-0.15, r=1.5), "'back_reset' .*: -0.2$"),
    (lambda: soft_net(-0.3, 2e-4), r"'late' \(Delay\)"),
    (lambda: behind(pool(padding=ONE)), r"'n1' \(AvgPool2d\)"),
    (lambda: behind(nir.I(np.ones((1, 6, 6)))), r"'n1' \(I\)"),
    (lambda: behind(nir.Delay(np.full((1, 6, 6), 1e-4))), r"'n1' \(Delay\)"),
    (lambda: behind(lif(1, 6, 6, v_reset=0.1)), r"'n1' \(LIF\): its v_reset"),
    (lambda: behind(lif(1, 6, 6, v_leak=0.1)), r"'n1' \(LIF\): its v_leak"),
    (lambda: behind(lif(1, 6, 6, tau=5e-5)), r"'n1' \(LIF\): .*tau"),
    (lambda: behind(lif(1, 6, 6, v_threshold=0.0)), r"'n1' \(LIF\): its threshold"),
    (lambda: behind(lif(1, 6, 6, tau=np.nan)), r"'n1' \(LIF\): its tau"),
    (lambda: behind(lif(1, 6, 6, v_threshold=np.arange(1.0, 7.0))), r"'n1' \(LIF\): its v_threshold"),
    (lambda: behind(lif(1, 6, 5, tau=np.arange(1.0, 6.0))), r"'n1' \(LIF\): its tau"),
    (dangling, r"'end' \(Linear\)"),
    (looped, "loop"),
    (lambda: chain(shape=(1, 2)), r"'in' \(Input\): its shape"),
]


@each_row("make, named", REFUSED)
def test_what_the_library_has_not_is_refused_by_name(make, named):
    with pytest.raises(DeployError, match=named):
        from_nir(make(), encoder=Encoder("direct", 3))


def spoiled(name: str, field: str, value) -> nir.NIRGraph:
    made = graph.build(describe(pretrained()))
    node = made.nodes[name]
    if field in node.metadata:
        node.metadata[field] = value(node.metadata[field])
    else:
        setattr(node, field, value(getattr(node, field)))
    return made


@each_row(
    "name, field, value, named",
    [
        ("conv1_norm", "scale", lambda old: 2 * old, "metadata scale"),
        ("conv1_norm", "bias", lambda old: 2 * old, "metadata shift"),
        ("conv1_norm", "shift", lambda old: old[:, :1], "metadata shift"),
        ("conv1_norm", "gamma", lambda old: "γ", "metadata gamma"),
        ("conv1_norm", "weight", lambda old: old + 1, "metadata"),
        ("conv2_li", "leak", lambda old: old / 2, "metadata leak"),
        ("conv2_li", "threshold", lambda old: old / 2, "metadata threshold"),
        ("conv2_reset", "scale", lambda old: old / 2, ": -0.95"),
    ],
)
def test_tables_that_do_not_belong_to_their_nodes_are_refused(name, field, value, named):
    with pytest.raises(DeployError, match=f"'{name}' .*{named}"):
        from_nir(spoiled(name, field, value))


def test_errors_of_a_file_name_it(tmp_path):
    nir.write(tmp_path / "y.nir", chain(linear(4), cuba(), shape=(36,)))
    with pytest.raises(DeployError, match=r"y\.nir': 'n1' \(CubaLIF\)"):
        from_nir(str(tmp_path / "y.nir"), encoder=Encoder("direct", 3))
    with pytest.raises(DeployError, match="dt"):
        from_nir(tmp_path / "y.nir", dt=0)


def test_a_description_from_a_graph_is_exported_as_any_other(tmp_path):
    made = from_nir(image_net(), encoder=Encoder("direct", 3))
    export(made, tmp_path / "x.safetensors")
    images = np.random.default_rng(0).random((2, 1, 6, 6))
    expected = Runtime(made, "float64").run(images)
    assert np.abs(Runtime(tmp_path / "x.safetensors", "float64").run(images) - expected).max() < 1e-5
    assert same(from_nir(graph.build(made)), made)
