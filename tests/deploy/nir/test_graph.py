"""NIR graphs of the library's networks: read again to the bit, run by NIR's own definitions, or refused by name."""

import itertools
import sys
from dataclasses import replace

import nir
import numpy as np
import pytest
import torch

import bntt
from bntt.deploy import DeployError, Runtime, describe, export, from_nir
from bntt.deploy.description import Description, Encoder, Layer, Neurons, Pool, Weights
from bntt.deploy.nir import graph
from bntt.deploy.runtime.arrays import encode
from bntt.models import MODELS, pretrained, vgg6
from bntt.nn import NORMS, fold
from tests.deploy.networks import LEAKS, classifier
from tests.deploy.nir import interpreter
from tests.deploy.test_bundle import same
from tests.grids import all_pairs
from tests.rows import each_row

GRID = all_pairs(
    list(MODELS),
    ["poisson", "direct", "frames"],
    [name for name in NORMS if name != "layer"],
    ["after", "before"],
    ["soft", "hard"],
    [*LEAKS, "none"],
    ["voltage", "spikes"],
)

GRIDS = [GRID[::7], pytest.param(GRID, marks=pytest.mark.slow)]


def described(row, **more) -> tuple[Description, np.ndarray]:
    name, coding, norm, fire, reset, leak, readout = row
    options = more | {"norm": norm, "fire": fire, "reset": reset, "readout": readout}
    options |= {"leak": 1.0} if leak == "none" else LEAKS[leak]
    if norm == "none":  # sums of spikes are whole numbers, and NIR's τ and r do not give them exactly: none is θ
        options |= {"threshold": 0.97}
    model, samples, shape = classifier(name, coding, **options)
    with torch.no_grad():
        for path, weight in model.network.named_parameters():
            if weight.ndim > 1 and "norm" not in path:
                weight.mul_(2)  # so that spikes reach the readout
    return describe(model, input_shape=shape), samples


def test_residual_networks_of_every_kind_are_read_again_to_the_bit():
    """Neurons behind a norm of their own, which a reader must not give to the layer before."""
    for kind, leak in itertools.product(("ms", "sew"), LEAKS):
        made, _ = described(("resnet20", "direct", "bntt", "after", "soft", leak, "voltage"), residual=kind)
        assert same(from_nir(graph.build(made)), made), (kind, leak)


@pytest.mark.parametrize("grid", GRIDS, ids=["some", "pairs"])
def test_a_graph_is_read_again_to_the_bit_and_gives_the_librarys_logits_by_nirs_own_definitions(grid):
    spoke = 0
    for row in grid:
        made, samples = described(row)
        built = graph.build(made)
        assert same(from_nir(built), made), row
        runtime, samples = Runtime(made, "float64"), samples.astype(np.float64)
        ((values, keys),) = runtime._parts(samples, 3, None, 0)
        x, expected = encode(made, values, keys, range(made.num_steps)), runtime.trace(samples, seed=3)
        x = np.moveaxis(np.broadcast_to(x, (made.num_steps, *x.shape[1:])), -1, 2)
        x = x if len(made.input_shape) == 3 else x[..., 0, 0]
        found = interpreter.run(built, x)
        counts = np.arange(1.0, made.num_steps + 1)[:, None, None]
        assert np.abs(np.cumsum(found["output"], 0) / counts - expected).max() < 1e-9, row  # a spike would be seen
        spoke += bool(np.ptp(expected[-1], axis=0).max() > 1e-6)  # each sample has logits of its own
    assert spoke > len(grid) / 2


def small(kind: str, *, before: bool = False, **neurons) -> Description:
    """A layer of spikes that are pooled, and a readout."""
    rng, ones, pool = np.random.default_rng(0), np.ones((3, 2)), (Pool(kind, (2, 3)),)
    half = np.full((1, 1), 0.5)
    own = Neurons(**{"leak": half, "threshold": half / 2, **neurons})
    kernel = Weights(rng.normal(size=(2, 1, 3, 3)), rng.normal(size=2), (1, 1), (2, 1), (2, 1))
    conv = Layer("a.conv", -1, 2 * ones, 0.125 * ones, kernel, own, after=() if before else pool)
    readout = Layer("fc/1", 0, ones, 0 * ones, Weights(np.ones((2, 8))), before=pool if before else ())
    return Description((conv, readout), Encoder("direct", 3), ("x", "y"), (1, 5, 6))


@each_row("before", [False, True])
def test_the_largest_of_spikes_is_a_threshold_of_their_sum(before):
    made = small("max", before=before)
    built = graph.build(made)
    assert same(from_nir(built), made)
    found = interpreter.run(built, np.random.default_rng(1).random((3, 4, 1, 5, 6)))
    windows = found["a_conv_fires"][..., :4, :].reshape(3, 4, 2, 2, 2, 2, 3).max((4, 6))
    assert 0 < windows.mean() < 1
    assert np.array_equal(found["output"], np.repeat(windows.sum((2, 3, 4))[..., None], 2, 2))


@each_row("reset", ["soft", "hard"])
def test_leaks_of_one_beside_others(reset):
    made = small("average", leak=np.array([[0.3, 1.0]]), reset=reset)
    assert same(from_nir(graph.build(made)), made)


def test_the_bundled_network_in_a_file(tmp_path):
    made = export(pretrained(), tmp_path / "x.nir", "nir")
    assert (tmp_path / "x.nir").stat().st_size < 1_500_000
    assert same(from_nir(tmp_path / "x.nir"), made)
    assert same(from_nir(nir.read(tmp_path / "x.nir")), made)  # which checks types


def test_a_node_that_knows_no_tables_has_their_median():
    made = describe(pretrained())
    node = graph.build(made).nodes["fc1_norm"]
    assert np.array_equal(np.diagonal(node.weight), np.median(made.layers[-2].scale, 0))
    assert np.array_equal(node.metadata["scale"], made.layers[-2].scale)


def refused() -> list[tuple[Description, str]]:
    made = describe(bntt.SpikingClassifier(bntt.DirectEncoder(2), vgg6(num_steps=2, width=0.25)))
    folded = describe(bntt.SpikingClassifier(bntt.DirectEncoder(2), fold(vgg6(num_steps=2, width=0.25))))
    first, second, third, *_ = made.nodes
    oblong = replace(first.weights, values=first.weights.values[:, :, :, :1], padding=(1, 0))
    grouped = replace(second.weights, values=second.weights.values[:, :1], groups=4)
    growing = replace(first.neurons, leak=np.full((1, 1), 1.5))

    def with_nodes(*nodes):
        return replace(made, nodes=(*nodes, *made.nodes[len(nodes) :]))

    return [
        (with_nodes(replace(first, weights=oblong)), "'conv1': its kernel"),
        (with_nodes(first, replace(second, weights=grouped)), "'conv2': .* groups"),
        (with_nodes(replace(first, neurons=growing)), "'conv1': its leak"),
        (with_nodes(first, second, replace(third, before=(Pool("max", (1, 1)),))), "'conv3'"),
        (folded, "'conv1': its neurons"),
    ]


def test_what_nir_cannot_say_is_refused_by_name(tmp_path, monkeypatch):
    for made, named in refused():
        with pytest.raises(DeployError, match=named):
            export(made, tmp_path / "x", "nir")
    monkeypatch.setitem(sys.modules, "nir", None)
    for call in (lambda: export(pretrained(), tmp_path / "x", "nir"), lambda: from_nir(tmp_path / "x")):
        with pytest.raises(DeployError, match=r"bntt\[nir\]"):
            call()
    assert not list(tmp_path.iterdir())
