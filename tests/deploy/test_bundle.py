"""Bundles: what is written is read again, what was narrowed is within its bound, and what is none is refused."""

import copy
import hashlib
import json
from dataclasses import fields, is_dataclass, replace
from functools import partial
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


def wide(made):
    """With γ in the type that is read."""
    nodes = [
        node if getattr(node, "gamma", None) is None else replace(node, gamma=node.gamma.astype(np.float64))
        for node in made.nodes
    ]
    return replace(made, nodes=tuple(nodes))


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
        assert same(bundle.read(tmp_path / "x"), wide(made))


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
    for name, value, said in (
        ("input_shape", (1, 28.0, 28), r"input_shape\[1\] is 28.0, which is no int"),
        ("classes", tuple(range(10)), r"classes\[0\] is 0, which is no str"),
        ("provenance", {"epoch": np.int64(3)}, "provenance is .*, which is no dict"),
    ):
        object.__setattr__(changed := replace(made), name, value)  # what a user without our type checks can make
        for write in (export, partial(export, target="nir")):
            with pytest.raises(DeployError, match=said):
                write(changed, path)
    assert path.read_bytes() == before


@each_row("weights", bundle.WEIGHT_TYPES)
def test_arrays_in_any_order_of_memory_are_written_as_they_are(weights, tmp_path):
    made = describe(pretrained())
    turned = [
        replace(
            node,
            scale=np.asfortranarray(node.scale),
            weights=replace(node.weights, values=np.asfortranarray(node.weights.values)),
        )
        for node in made.nodes
    ]
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


def test_weights_that_a_type_cannot_hold_are_refused(tmp_path):
    made = describe(pretrained())
    huge = replace(made.nodes[0], weights=replace(made.nodes[0].weights, values=made.nodes[0].weights.values + 1e6))
    with pytest.raises(DeployError, match=r"nodes\.0\.weights\.values has numbers beyond the range of float16"):
        export(replace(made, nodes=(huge, *made.nodes[1:])), tmp_path / "x", weights="float16")
    wider = replace(made.nodes[0].weights, values=made.nodes[0].weights.values.astype(np.float64) + 1e42)
    with pytest.raises(DeployError, match=r"nodes\.0\.weights\.values has numbers beyond the range of float32"):
        bundle.write(
            replace(made, nodes=(replace(made.nodes[0], weights=wider), *made.nodes[1:])), tmp_path / "x", "int8"
        )
    with pytest.raises(ValueError, match="unknown target 'bundel'"):
        export(made, tmp_path / "x", "bundel")
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
    (put("nodes", 0, "reads", value=3), r"'conv1': it reads nodes \[3\], and is node 0"),
    (put("nodes", 0, "reads", value="x"), r"it\.nodes\[0\]\.reads is 'x', which is no int"),
    (put("nodes", 0, "scale", value="no such"), r"it\.nodes\[0\]\.scale is 'no such'"),
    (put("nodes", 0, "weights", "stride", value=[0, 1]), r"stride\[0\] is 0, which is no int from 1"),
    (put("nodes", 0, "weights", "padding", value=[1 << 30, 1 << 30]), "its neurons would be"),
    (put("nodes", 0, "weights", "padding", value=[10**40, 1]), "which is no int"),
    (padded(1 << 14), "all values up to it 1,0"),
    (put("nodes", 0, "neurons", "rule", value="never"), "'never', which is no"),
    (put("input_shape", value=[1, 1 << 30, 1 << 30]), "its neurons would be"),
    (put("encoder", "num_steps", value=1 << 30), "num_steps is 1073741824, which is no int from 1 to 1048576"),
    (put("encoder", "std", value=[0]), "std above 0"),
    (put("surprise", value=1), "which is no Description"),
    (put("nodes", value=[]), "a network ends in a readout"),
    (put("classes", value=["one"]), r"the readout gives \[10, 1, 1\], and 1 classes"),
    (array("nodes.1.scale", lambda old: old * np.nan), "'conv2': its scale has numbers that are not finite"),
    (array("nodes.1.scale", lambda old: old[:1]), r"'conv2': its scale is float64 \[1, 16\], expected \[8, 16\]"),
    (array("nodes.0.neurons.threshold", lambda old: 0 * old), "would fire at rest"),
    (array("nodes.4.weights.values", lambda old: old[:, 1:]), "its weights .*1567. .* do not fit"),
    (array("nodes.0.shift", lambda old: old.astype(complex).real > 0), "its shift is bool"),
    (lambda tree, arrays, notes: notes.update(format="bundle 2"), "has format bundle 2, this version reads bundle 1"),
    (lambda tree, arrays, notes: tree.clear(), "which is no Description"),
]


def test_what_is_no_bundle_is_refused_in_words(tmp_path):
    path = tmp_path / "x.safetensors"
    export(pretrained(), path)
    whole = path.read_bytes()
    for change, said in HOSTILE:
        path.write_bytes(whole)
        rewritten(path, change)
        with pytest.raises(BundleError, match=said) as refused:
            bundle.read(path)
        assert str(path) in str(refused.value)
        assert len(str(refused.value)) < 700
    damaged = {
        whole[:-1]: "its bytes are not those",
        whole[:40]: "its header cannot be read",
        b"": "its header cannot be read",
        whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:]: "its bytes are not those",
    }
    for content, said in damaged.items():
        path.write_bytes(content)
        with pytest.raises(BundleError, match=said):
            bundle.read(path)
    with pytest.raises(BundleError, match="does not exist"):
        bundle.read(tmp_path / "nothing")


def test_a_description_takes_no_arguments_of_its_making(tmp_path):
    made = describe(pretrained())
    with pytest.raises(DeployError, match="a description has its classes, input shape and pictures"):
        export(made, tmp_path / "x", classes=["a"])
    for shape, said in (((2, 4, 4), r"pictures are \[1 or 3, H, W\]"), ((0, 4, 4), r"pictures.shape\[0\] is 0")):
        with pytest.raises(DeployError, match=said):
            replace(made, pictures=Pictures(shape))
