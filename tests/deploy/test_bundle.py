"""Bundles: what is written is read again, what was narrowed is within its bound, and what is none is refused."""

import copy
import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

import bntt
from bntt.deploy import BundleError, DeployError, Runtime, bundle, describe, export
from bntt.deploy.description import Pictures
from bntt.io.files import _NO_SUM
from bntt.models import pretrained, resnet20, vgg6
from bntt.nn import fold
from tests.rows import each_row


def same(one, other) -> bool:
    """Whether two records hold the same, arrays to the bit and with their types."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_what_is_written_is_read_again(tmp_path):
    encoder = bntt.PoissonEncoder(2, mean=[0.1], std=[0.3])
    residual = resnet20(num_steps=2, width=0.25, in_channels=1, learn_leak="channel", fire="before")
    folded = fold(vgg6(num_steps=2, width=0.25, reset="hard"))
    with torch.no_grad():
        folded.blocks["fc1"].lif.turned[0] = True
        folded.blocks["fc1"].lif.threshold[0] *= -1
    for network, told in ((residual, {"input_shape": (1, 8, 8)}), (folded, {"pictures": Pictures((1, 28, 28), "pad")})):
        made = describe(bntt.SpikingClassifier(encoder, network), run={"recipe": "seed = 0\n"}, **told)
        bundle.write(made, tmp_path / "x")
        assert same(bundle.read(tmp_path / "x"), made)


def test_a_bundle_of_1_0_gives_what_it_gave():
    """As every 1.x must: the file was written by 1.0.0, a VGG6 of three steps with β, learned leaks and float16."""
    runtime = Runtime(Path(__file__).with_name("bundle_1.0.safetensors"), "float64")
    pixels = np.linspace(0, 1, 2 * 64).reshape(2, 1, 8, 8)
    logits = runtime.trace(pixels, seed=3, draw=1, index=np.array([5, 2]))
    last = [[2.588500976562, 3.054402669271, 0.459602355957], [1.100463867188, 1.784830729167, 0.578346252441]]
    assert np.abs(logits[-1] - last).max() < 1e-11
    assert np.abs(logits[0, :, 0] - [2.31298828125, -0.29937744140625]).max() < 1e-12


def test_weights_in_bfloat16_leave_as_they_are():
    encoder, narrow = bntt.PoissonEncoder(2, mean=[0.1], std=[0.3]), vgg6(num_steps=2, width=0.25).bfloat16()
    given = [describe(bntt.SpikingClassifier(encoder, net)) for net in (narrow, copy.deepcopy(narrow).float())]
    bits, wider = ([node.weights for node in made.nodes if node.weights is not None] for made in given)
    assert len(bits) == 6
    assert all(map(same, bits, wider))


def test_nothing_is_written_over_that_no_reader_would_open(tmp_path):
    made = export(pretrained(), path := tmp_path / "x")
    before = path.read_bytes()
    for name, value in (
        ("input_shape", (1, 28.0, 28)),
        ("classes", tuple(range(10))),
        ("provenance", {"epoch": np.int64(3)}),
    ):
        object.__setattr__(changed := replace(made), name, value)  # what a user without our type checks can make
        for target in ("bundle", "nir"):
            with pytest.raises(DeployError, match=name):
                export(changed, path, target)
    assert path.read_bytes() == before


@each_row("weights", bundle.WEIGHT_TYPES)
def test_arrays_in_any_order_of_memory_are_written_as_they_are(weights, tmp_path):
    made = describe(pretrained())
    turned = []
    for node in made.nodes:
        values = replace(node.weights, values=np.asfortranarray(node.weights.values))
        turned.append(replace(node, scale=np.asfortranarray(node.scale), weights=values))
    bundle.write(made, tmp_path / "x", weights)
    bundle.write(replace(made, nodes=tuple(turned)), tmp_path / "y", weights)
    assert same(bundle.read(tmp_path / "x"), bundle.read(tmp_path / "y"))


def test_narrow_weights_are_near_and_small(tmp_path):
    model, sizes = pretrained(), {}
    exact = describe(model)
    for weights in bundle.WEIGHT_TYPES:
        export(model, tmp_path / weights, "bundle", weights=weights)
        sizes[weights], found = (tmp_path / weights).stat().st_size, bundle.read(tmp_path / weights)
        for layer, true in zip(found.layers, exact.layers, strict=True):
            values, error = true.weights.values, np.abs(layer.weights.values - true.weights.values)
            step = np.abs(values).reshape(len(values), -1).max(1).reshape(-1, *[1] * (values.ndim - 1)) / 127
            bound = {"float32": 0.0, "float16": 2.0**-11 * np.abs(values) + 1e-7, "int8": 0.501 * step}[weights]
            assert (error <= bound).all()
            assert np.abs(layer.scale / true.scale - 1).max() <= (0 if weights == "float32" else 2.0**-24)
    assert sizes["int8"] < 0.3 * sizes["float32"]
    assert sizes["float16"] < 0.53 * sizes["float32"]


@each_row("weights, dtype, beyond", [("float16", np.float32, 1e6), ("int8", np.float64, 1e42)])
def test_weights_that_a_type_cannot_hold_are_refused(weights, dtype, beyond, tmp_path):
    made = describe(pretrained())
    first, *others = made.nodes
    huge = replace(first.weights, values=first.weights.values.astype(dtype) + dtype(beyond))
    with pytest.raises(DeployError, match=r"nodes\.0\.weights\.values"):
        export(replace(made, nodes=(replace(first, weights=huge), *others)), tmp_path / "x", weights=weights)
    assert not list(tmp_path.iterdir())


def rewritten(path, change):
    """The bundle with its description and arrays changed, and the checksum put right."""
    payload = path.read_bytes()
    arrays = safetensors.numpy.load(payload)
    notes = json.loads(payload[8 : 8 + int.from_bytes(payload[:8], "little")])["__metadata__"]
    tree = json.loads(notes["description"])
    change(tree, arrays, notes)
    notes |= {"description": json.dumps(tree), "sha256": _NO_SUM.decode()}
    blank = safetensors.numpy.save(arrays, metadata=notes)
    path.write_bytes(blank.replace(_NO_SUM, hashlib.sha256(blank).hexdigest().encode(), 1))


def put(*keys, value):
    """A change of one place in the description."""

    def change(tree, arrays, notes):
        for key in keys[:-1]:
            tree = tree[key]
        tree[keys[-1]] = value

    return change


def array(name, make):
    return lambda tree, arrays, notes: arrays.update({name: make(arrays[name])})


def padded(size):
    """Padding that strides jump over: few neurons, and gigabytes of zeros around an image."""

    def change(tree, arrays, notes):
        for key in ("padding", "stride"):
            put("nodes", 0, "weights", key, value=[size, size])(tree, arrays, notes)

    return change


HOSTILE = [
    (put("nodes", 0, "reads", value=3), "conv1"),
    (put("nodes", 0, "reads", value="x"), r"nodes\[0\]\.reads"),
    (put("nodes", 0, "scale", value="no such"), r"nodes\[0\]\.scale"),
    (put("nodes", 0, "weights", "stride", value=[0, 1]), r"stride\[0\]"),
    (put("nodes", 0, "weights", "padding", value=[1 << 30, 1 << 30]), "conv1"),
    (put("nodes", 0, "weights", "padding", value=[10**40, 1]), r"padding\[0\]"),
    (padded(1 << 14), "conv1"),
    (put("nodes", 0, "neurons", "rule", value="never"), r"nodes\[0\]"),
    (put("input_shape", value=[1, 1 << 30, 1 << 30]), "conv1"),
    (put("encoder", "num_steps", value=1 << 30), "num_steps"),
    (put("encoder", "std", value=[0]), "std"),
    (put("surprise", value=1), "Description"),
    (put("nodes", value=[]), "readout"),
    (put("classes", value=["one"]), "classes"),
    (array("nodes.1.scale", lambda old: old * np.nan), "'conv2': its scale"),
    (array("nodes.1.scale", lambda old: old[:1]), "'conv2': its scale"),
    (array("nodes.0.neurons.threshold", lambda old: 0 * old), "threshold"),
    (array("nodes.4.weights.values", lambda old: old[:, 1:]), "its weights"),
    (array("nodes.0.shift", lambda old: old.astype(complex).real > 0), "its shift"),
    (lambda tree, arrays, notes: notes.update(format="bundle 2"), "bundle 2"),
    (lambda tree, arrays, notes: tree.clear(), "Description"),
]
"""Changes that keep the checksum right, and the part that a refusal names."""


def damaged(whole: bytes) -> list[bytes]:
    """The bytes of a bundle, changed or cut."""
    return [whole[:-1], whole[:40], b"", whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]]


def test_what_is_no_bundle_is_refused_by_its_part(tmp_path):
    path = tmp_path / "x.safetensors"
    export(pretrained(), path)
    whole = path.read_bytes()
    for change, part in HOSTILE:
        path.write_bytes(whole)
        rewritten(path, change)
        with pytest.raises(BundleError, match=part) as refused:
            bundle.read(path)
        assert str(path) in str(refused.value)
    for content in damaged(whole):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=str(path)):
            bundle.read(path)
    with pytest.raises(BundleError, match="nothing"):
        bundle.read(tmp_path / "nothing")


def test_arguments_that_do_not_go_together(tmp_path):
    made = describe(pretrained())
    for target, options, error, named in (
        ("bundle", {"classes": ["a"]}, DeployError, "classes"),
        ("bundel", {}, ValueError, "bundel"),
        ("onnx", {"weights": "int8"}, DeployError, "int8"),
        ("nir", {"weights": "int8"}, DeployError, "int8"),
    ):
        with pytest.raises(error, match=named):
            export(made, tmp_path / "x", target, **options)
    assert not list(tmp_path.iterdir())
