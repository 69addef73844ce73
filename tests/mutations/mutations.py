"""The faults: what is changed, and which tests must fail for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUZZ = ("tests/fuzz/test_fuzz.py",)
ADVANCE = ("tests/nn/test_advance.py",)


@dataclass(frozen=True)
class Mutation:
    """One change of one place."""

    name: str
    file: str
    """A pattern below ``src/bntt``; the old text occurs once in all files that it matches."""
    old: str
    new: str
    tests: tuple[str, ...]

    def place(self, root: Path) -> Path:
        """The file in which the old text occurs.

        Raises:
            ValueError: if it does not occur exactly once.
        """
        texts = {path: path.read_text(encoding="utf-8") for path in sorted((root / "src" / "bntt").glob(self.file))}
        count = {path: text.count(self.old) for path, text in texts.items() if self.old in text}
        if list(count.values()) != [1]:
            raise ValueError(f"{self.name}: its old text must occur once in {self.file}, found {count}")
        return next(iter(count))

    def apply(self, root: Path) -> Path:
        """Change the file in the copy of the project that is at ``root``."""
        path = self.place(root)
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")
        return path


EQUATIONS = [
    Mutation(
        "soft reset adds",
        "ops/lif.py",
        "return membrane - threshold * spikes",
        "return membrane + threshold * spikes",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "negative pixels lose their sign",
        "ops/poisson.py",
        "return (2 * uniform <= x.abs()) * x.sign()",
        "return (2 * uniform <= x.abs()) * x.sign().abs()",
        ("tests/ops/test_poisson.py",),
    ),
    Mutation(
        "the expected spike is twice what it is",
        "ops/poisson.py",
        "(x.abs() < 2).to(x.dtype) / 2 if signed",
        "(x.abs() < 2).to(x.dtype) if signed",
        ("tests/nn/test_poisson.py",),
    ),
    Mutation(
        "frames come one step late",
        "nn/analog.py",
        "frames.transpose(0, 1)[",
        "frames.transpose(0, 1).roll(1, 0)[",
        ("tests/nn/test_analog.py",),
    ),
    Mutation(
        "the mean is added",
        "ops/norm.py",
        "y = (x - over(mean)) *",
        "y = (x + over(mean)) *",
        ("tests/ops/test_norm.py",),
    ),
    Mutation(
        "γ of the next step",
        "nn/norm.py",
        "gamma = self.scale * self.gamma[affine]",
        "gamma = self.scale * self.gamma.roll(-1, 0)[affine]",
        ("tests/nn/test_norm.py", "tests/golden/test_traces.py"),
    ),
    Mutation(
        "time runs backwards",
        "ops/lif.py",
        "for drive in current.unbind(0):",
        "for drive in reversed(current.unbind(0)):",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "the leak takes the current too",
        "ops/lif.py",
        "integrated = neuron.leak * membrane + current",
        "integrated = neuron.leak * (membrane + current)",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "TAB pools the future",
        "ops/norm.py",
        "dtype=torch.float64).tril()",
        "dtype=torch.float64).triu()",
        ("tests/ops/test_norm.py",),
    ),
    Mutation(
        "another 1/θ in the surrogate",
        "ops/spike.py",
        "return grad_spikes * ctx.surrogate(membrane / ctx.threshold - 1), None, None",
        "return grad_spikes * ctx.surrogate(membrane / ctx.threshold - 1) / ctx.threshold, None, None",
        ("tests/ops/test_spike.py",),
    ),
    Mutation(
        "a gradient through the reset",
        "ops/lif.py",
        "neuron.reset(integrated, spikes.detach(), neuron.threshold)",
        "neuron.reset(integrated, spikes, neuron.threshold)",
        ("tests/ops/test_lif.py",),
    ),
    Mutation(
        "statistics are constants",
        "ops/norm.py",
        "    mean = x.mean(dims, keepdim=True)\n",
        "    x = x.detach()\n    mean = x.mean(dims, keepdim=True)\n",
        ("tests/ops/test_norm.py",),
    ),
]

FUSED = [
    Mutation(
        "the saved mean is the running one",
        "engine/layer.py",
        "mean, var = layer.mean[first:last].clone(), layer.var[first:last]",
        "mean, var = layer.mean[first:last], layer.var[first:last]",
        FUZZ,
    ),
    Mutation(
        "a padded 1x1 image is a fully connected layer",
        "*/_cpu/events.inl",
        "e.kernel_width == 1 && e.pad_height == 0 &&\n         e.pad_width == 0;",
        "e.kernel_width == 1;",
        FUZZ,
    ),
    Mutation(
        "no gradient goes from span to span",
        "engine/stack.py",
        "every=len(spans) > 1 or any(wants_starts)",
        "every=any(wants_starts)",
        FUZZ,
    ),
    Mutation(
        "a span starts from its own end",
        "engine/stack.py",
        "            spikes, ends = span.forward(stack, synapses, x)\n            out.add(spikes)\n",
        "            spikes, ends = span.forward(stack, synapses, x)\n"
        "            span.starts = ends if first + size < steps else span.starts\n            out.add(spikes)\n",
        FUZZ,
    ),
    Mutation(
        "the first term of Eq. 10 is dropped",
        "engine/scan.py",
        "offset = (affine.scale * (sum_grad / rows)).float()",
        "offset = torch.zeros_like(inverse)",
        FUZZ,
    ),
    Mutation(
        "the second term of Eq. 10 is dropped",
        "engine/scan.py",
        "slope = (affine.scale * inverse * (sum_product / rows)).float()",
        "slope = torch.zeros_like(inverse)",
        FUZZ,
    ),
    Mutation(
        "a window's gradient is not shared out",
        "engine/scan.py",
        "door, scale = open_kernels(kernels), grad_scale / (window[0] * window[1])",
        "door, scale = open_kernels(kernels), grad_scale",
        FUZZ,
    ),
    Mutation(
        "the kernels' soft reset keeps θ",
        "*/_cpu/scan.inl",
        "kept - L::where(fired, threshold)",
        "kept",
        FUZZ,
    ),
    Mutation(
        "buffers are given back although the graph is kept",
        "engine/stack.py",
        "            if not keep and i > 0:\n",
        "            if i > 0:\n",
        FUZZ,
    ),
    Mutation(
        "a current is given back twice",
        "engine/stack.py",
        "WORKSPACE.give(done.current, membranes[i] if",
        "WORKSPACE.give(done.current, done.current, membranes[i] if",
        FUZZ,
    ),
    Mutation(
        "taps of the event-driven weight gradient are mirrored",
        "*/_cpu/events_weight_grad.inl",
        "sum[3 + j] += L::load(at + (1 - j) * N);",
        "sum[3 + j] += L::load(at + (j - 1) * N);",
        FUZZ,
    ),
    Mutation(
        "a count of more than one is one event",
        "*/_cpu/events.inl",
        "size += counts[c] <= 4 ? counts[c] : (counts[c] - 1) % 4 + 1;",
        "size += counts[c] > 0;",
        FUZZ,
    ),
    Mutation(
        "no count is above one",
        "engine/layer.py",
        "return Spikes(counts, 1 / area, area, density)",
        "return Spikes(counts, 1 / area, 1, density)",
        FUZZ,
    ),
    Mutation(
        "nobody looks at hooks",
        "engine/private.py",
        "return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, "
        "module._backward_pre_hooks))",
        "return False",
        FUZZ,
    ),
    Mutation(
        "a constant before batch statistics has a gradient",
        "engine/layer.py",
        "if learned.bias is not None and not batch_statistics:",
        "if learned.bias is not None:",
        FUZZ,
    ),
    Mutation(
        "γ's gradient belongs to another step",
        "engine/layer.py",
        "learned.gamma[first:last] = sum_product",
        "learned.gamma[first:last] = sum_product.flip(0)",
        FUZZ,
    ),
]

STATES = [
    Mutation(
        "the membrane of another sample",
        "nn/state.py",
        "        return state[keep]\n",
        "        return state[keep].roll(1, 0)\n",
        ADVANCE,
    ),
    Mutation(
        "γ of the first steps, whatever the state",
        "nn/known.py",
        "which = slice(steps.start, steps.stop)",
        "which = slice(0, len(steps))",
        ADVANCE,
    ),
    Mutation(
        "statistics of the first steps take the batch in",
        "nn/plan.py",
        "_take_in(blocks, stack, slice(first, first + len(x)))",
        "_take_in(blocks, stack, slice(0, len(x)))",
        ADVANCE,
    ),
    Mutation(
        "the state forgets a step",
        "nn/network.py",
        "first + len(x), tuple(after), voltages[-1]",
        "first + len(x) - 1, tuple(after), voltages[-1]",
        ADVANCE,
    ),
    Mutation(
        "no gradient comes from the last membranes",
        "engine/stack.py",
        "        if given is not None:\n",
        "        if given is not None and every and not len(given):\n",
        ADVANCE,
    ),
    Mutation(
        "the membranes that a state holds are given back",
        "engine/stack.py",
        "for span in spans[1:] for start in span.starts",
        "for span in spans for start in span.starts",
        ADVANCE,
    ),
    Mutation(
        "without gradients too",
        "engine/stack.py",
        "membranes[i] if first > 0 else None)",
        "membranes[i])",
        ADVANCE,
    ),
]

MUTATIONS = [*EQUATIONS, *FUSED, *STATES]
