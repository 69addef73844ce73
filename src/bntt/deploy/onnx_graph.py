"""ONNX: a described network as one graph of all its steps, or as one step with the state as input and output.

Both compute in float32, take any batch, and are built with ``onnx.helper`` only, in opset 20. The input is what the
encoder takes, ``[B, ...]`` or, for frames and sequences, ``[T, B, ...]``; if the encoder draws random spikes, the input
is these spikes, ``[T, B, ...]``. The input of one step has no T. Only the neurons are a loop over time, a ``Scan``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bntt.deploy.description import (
    Array,
    DeployError,
    Description,
    Layer,
    Neurons,
    Pool,
    Shape,
    Weights,
    inputs,
)
from bntt.io.files import write_whole
from bntt.version import __version__

if TYPE_CHECKING:
    import onnx

OPSET, IR = 20, 10
CONSTANT = ("direct", "expected", "expected-unsigned")
"""Encoders whose every step is the same: their first current is computed once."""
FLOAT, INT64 = 1, 7
"""ONNX's numbers of these types."""


def write(description: Description, path: Path, *, step: bool = False) -> None:
    """Write :func:`build`'s model into a file, whole or not at all."""
    write_whole(path, build(description, step=step).SerializeToString())


def build(description: Description, *, step: bool = False) -> onnx.ModelProto:
    """Make the ONNX model of a network.

    Args:
        step: False: input ``input``; outputs ``logits`` ``[B, K]`` after all steps and ``logits_over_time``
            ``[T, B, K]`` after each. True: inputs ``input``, ``step`` (int64, from 0), ``voltage`` ``[B, K]`` and a
            ``membrane.NAME`` ``[B, C, H, W]`` for every layer with neurons, all zero at rest; outputs ``logits``
            ``[B, K]`` after this step, and ``next.voltage`` and ``next.membrane.NAME``.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise DeployError('ONNX files are written by onnx, which is not installed: pip install "bntt[onnx]"') from None
    graph = _Graph(description, step).made()
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name, model.producer_version = "bntt", __version__
    encoder = description.encoder
    facts: dict[str, Any] = {  # what a caller must know and the graph does not say
        "classes": description.classes,
        "encoder": encoder.kind,
        "num_steps": encoder.num_steps,
        "mean": encoder.mean,
        "std": encoder.std,
        "gamma": {layer.name: layer.gamma.tolist() for layer in description.layers if layer.gamma is not None},
        "provenance": description.provenance,
    }
    told = {f"bntt.{name}": json.dumps(fact, ensure_ascii=False) for name, fact in facts.items()}
    onnx.helper.set_model_props(model, told)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Value(NamedTuple):
    """A value, ``[steps, B, *shape]``, or in one step ``[B, *shape]``; its steps are T, or 1 if it never changes."""

    name: str
    steps: int
    shape: Shape


class _Nodes:
    """Nodes and constants as they are added; every name begins with the prefix."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def __call__(self, op: str, *inputs: str | Array, out: str = "", **settings: Any) -> str:
        """Add a node, and return the name of its output; arrays become constants."""
        from onnx import helper

        name = out or f"{self.prefix}{op}.{len(self.nodes)}"
        named = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(op, named, [name], name=name, **settings))
        return name

    def constant(self, values: Array, name: str = "") -> str:
        """Return the name of a constant: floats become float32."""
        from onnx import numpy_helper

        kept = np.asarray(values, np.float32 if values.dtype.kind == "f" else values.dtype, order="C")
        name = name or f"{self.prefix}constant.{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(kept, name)
        return name

    def reshape(self, value: str, *sizes: int) -> str:
        return self("Reshape", value, np.array(sizes, np.int64))

    def lif(self, neurons: Neurons, u: str, z: str, tables: Mapping[str, str]) -> tuple[str, str]:
        """Add one step of the neurons: ``(spikes, membrane)``; see :class:`~bntt.deploy.description.Neurons`."""
        leaked = self("Mul", tables["leak"], u)
        m = self("Add", leaked, z) if neurons.rule == "after" else u
        seen = self("Mul", tables["sign"], m) if "sign" in tables else m
        spikes = self("Cast", self("Greater", seen, tables["threshold"]), to=FLOAT)
        before = m if neurons.rule == "after" else leaked
        if neurons.reset == "soft":
            after = self("Sub", before, self("Mul", tables.get("amount", tables["threshold"]), spikes))
        else:
            after = self("Mul", before, self("Sub", np.array(1.0), spikes))
        return spikes, after if neurons.rule == "after" else self("Add", after, z)


class _Graph(_Nodes):
    """The graph of a network, of all steps or of one."""

    def __init__(self, description: Description, step: bool) -> None:
        super().__init__()
        self.description, self.step = description, step
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def made(self) -> onnx.GraphProto:
        from onnx import helper

        values = [self.encoded()]
        for node in self.description.nodes:
            one, *others = (values[read + 1] for read in inputs(node))
            if isinstance(node, Layer):
                values.append(self.layer(node, one))
            else:
                steps = max(one.steps, others[0].steps)
                values.append(_Value(self("Add", one.name, others[0].name), steps, one.shape))
        self.readout(values[-1])
        return helper.make_graph(self.nodes, "bntt", self.inputs, self.outputs, list(self.constants.values()))

    def takes(self, name: str, *sizes: int | str, kind: int = FLOAT) -> None:
        self.inputs.append(_info(name, sizes, kind))

    def gives(self, name: str, *sizes: int | str) -> None:
        self.outputs.append(_info(name, sizes))

    def encoded(self) -> _Value:
        """Add the input and, unless the encoder draws, what the encoder does with it."""
        description, encoder = self.description, self.description.encoder
        steps = 1 if self.step or encoder.kind in CONSTANT else description.num_steps
        in_time = not self.step and encoder.kind not in CONSTANT
        self.takes("input", *([steps] if in_time else []), "B", *description.input_shape)
        x = self.reshape("input", *([] if self.step else [steps]), -1, *description.image)
        if encoder.mean and not encoder.kind.startswith("poisson"):
            mean, std = (np.array(numbers).reshape(-1, 1, 1) for numbers in (encoder.mean, encoder.std))
            x = self("Div", self("Sub", x, mean), std)
        if encoder.kind == "expected":
            x = self("Clip", self("Mul", x, np.array(0.5)), np.array(-1.0), np.array(1.0))
        return _Value(x, steps, description.image)

    def layer(self, layer: Layer, x: _Value) -> _Value:
        """Add pooling, weights, the affine map, neurons, and pooling."""
        for pool in layer.before:
            x = self.pooled(x, pool)
        if layer.weights is not None:
            x = self.current(layer, layer.weights, x)
        scale, shift = (self.table(layer, what, getattr(layer, what)) for what in ("scale", "shift"))
        steps = 1 if self.step else self.description.num_steps
        z = _Value(self("Add", self("Mul", x.name, scale), shift), steps, x.shape)
        if layer.neurons is not None:
            z = self.fired(layer, layer.neurons, z)
        for pool in layer.after:
            z = self.pooled(z, pool)
        return z

    def pooled(self, x: _Value, pool: Pool) -> _Value:
        op = {"average": "AveragePool", "max": "MaxPool"}[pool.kind]
        return self.by_sample(x, op, [], x.shape, pool.shape(x.shape), kernel_shape=pool.size, strides=pool.size)

    def current(self, layer: Layer, weights: Weights, x: _Value) -> _Value:
        named = [self.constant(weights.values, f"{layer.name}.weight")]
        if weights.bias is not None:
            named.append(self.constant(weights.bias, f"{layer.name}.bias"))
        shape = weights.shape(x.shape)
        if not weights.is_convolution:
            return self.by_sample(x, "Gemm", named, weights.values.shape[1:], shape, transB=1)
        settings = {"strides": weights.stride, "dilations": weights.dilation, "pads": weights.padding * 2}
        return self.by_sample(x, "Conv", named, x.shape, shape, group=weights.groups, **settings)

    def by_sample(
        self, x: _Value, op: str, more: Sequence[str], taken: Sequence[int], shape: Shape, **settings: Any
    ) -> _Value:
        """Add a node that has no time axis: steps and samples are one axis for it."""
        flat = x.name if self.step and len(taken) == 3 else self.reshape(x.name, -1, *taken)
        done = self(op, flat, *more, **settings)
        if not self.step or len(taken) == 1:
            done = self.reshape(done, *([] if self.step else [x.steps]), -1, *shape)
        return _Value(done, x.steps, shape)

    def table(self, layer: Layer, what: str, table: Array) -> str:
        """Add a table ``[T or 1, C or 1]`` as ``[T or 1, 1, C or 1, 1, 1]``; in one step, its row of this step."""
        rows = table[:, None, :, None, None]
        if self.step and len(table) > 1:
            return self("Gather", self.constant(rows[:, 0], f"{layer.name}.{what}"), "step")
        return self.constant(rows[0, 0] if len(table) == 1 else rows, f"{layer.name}.{what}")

    def fired(self, layer: Layer, neurons: Neurons, z: _Value) -> _Value:
        """Add the neurons: one step from the incoming membrane, or a Scan over all steps from rest."""
        from onnx import helper

        tables = {"leak": neurons.leak, "threshold": neurons.threshold}
        if neurons.turned is not None:
            sign = np.where(neurons.turned, -1.0, 1.0)
            tables |= {"sign": sign, "threshold": neurons.threshold * sign, "amount": neurons.threshold}
        if neurons.amount is not None:
            tables["amount"] = neurons.amount
        if neurons.reset == "hard":
            tables.pop("amount", None)
        named = {what: self.table(layer, what, table) for what, table in tables.items()}
        if self.step:
            membrane = f"membrane.{layer.name}"
            self.takes(membrane, "B", *z.shape)
            self.gives(f"next.{membrane}", "B", *z.shape)
            spikes, after = self.lif(neurons, membrane, z.name, named)
            self("Identity", after, out=f"next.{membrane}")
            return _Value(spikes, 1, z.shape)
        body = _Nodes(f"{layer.name}.step.")
        moving = [what for what, table in tables.items() if len(table) > 1]
        inside = named | {what: body.prefix + what for what in ("u", "z", *moving)}
        spikes, after = body.lif(neurons, inside["u"], inside["z"], inside)
        every = [(inside["u"], z.shape), (inside["z"], z.shape)]
        ins = [_info(name, ("B", *shape)) for name, shape in every]
        ins += [_info(inside[what], (1, tables[what].shape[1], 1, 1)) for what in moving]
        outs = [_info(name, ("B", *z.shape)) for name in (after, spikes)]
        loop = helper.make_graph(body.nodes, f"{layer.name}.step", ins, outs, list(body.constants.values()))
        rest = self("ConstantOfShape", self("Shape", z.name, start=1))
        outputs = [f"{layer.name}.membrane", f"{layer.name}.spikes"]
        inputs = [rest, z.name, *(named[what] for what in moving)]
        scan = helper.make_node("Scan", inputs, outputs, body=loop, num_scan_inputs=1 + len(moving))
        self.nodes.append(scan)
        return _Value(outputs[1], z.steps, z.shape)

    def readout(self, z: _Value) -> None:
        """Add the sum over time, and the logits after each step."""
        steps, classes = self.description.num_steps, len(self.description.classes)
        if self.step:
            self.takes("step", kind=INT64)
            self.takes("voltage", "B", classes)
            self.gives("logits", "B", classes)
            self.gives("next.voltage", "B", classes)
            total = self("Add", "voltage", self.reshape(z.name, -1, classes), out="next.voltage")
            count = self("Cast", self("Add", "step", np.array(1)), to=FLOAT)
            self("Div", total, count, out="logits")
            return
        self.gives("logits", "B", classes)
        self.gives("logits_over_time", steps, "B", classes)
        total = self("CumSum", self.reshape(z.name, steps, -1, classes), np.array(0))
        counts = np.arange(1.0, steps + 1)[:, None, None]
        self("Gather", self("Div", total, counts, out="logits_over_time"), np.array(steps - 1), out="logits", axis=0)


def _info(name: str, sizes: Sequence[int | str], kind: int = FLOAT) -> Any:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, sizes)
