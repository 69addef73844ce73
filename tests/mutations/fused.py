"""Faults of the fused path."""

from __future__ import annotations

from tests.mutations.mutation import FUZZ, LEASES, Mutation

FUSED = [
    Mutation(
        "the saved mean is the running one",
        "engine/normalisation.py",
        "mean, var = layer.mean[steps].clone(), layer.var[steps]",
        "mean, var = layer.mean[steps], layer.var[steps]",
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
        "                looked.append(of_span)\n",
        "                looked.append(of_span)\n"
        "                spans[-1].starts = ends if first + size < steps else spans[-1].starts\n",
        FUZZ,
    ),
    Mutation(
        "the first term of Eq. 10 is dropped",
        "engine/normalisation.py",
        "Towards((scale * (sums[0] / rows)).float(), ",
        "Towards(torch.zeros_like(scale), ",
        FUZZ,
    ),
    Mutation(
        "the second term of Eq. 10 is dropped",
        "engine/normalisation.py",
        "(scale * inverse * (sums[1] / rows)).float(), None)",
        "torch.zeros_like(scale), None)",
        FUZZ,
    ),
    Mutation(
        "a window's gradient is not shared out",
        "engine/neuron.py",
        "return self.grad.scale / (self.window[0] * self.window[1])",
        "return self.grad.scale",
        FUZZ,
    ),
    Mutation(
        "the kernels' soft reset keeps θ",
        "*/_cpu/scan.inl",
        "kept - L::where(fired, amount)",
        "kept",
        FUZZ,
    ),
    Mutation(
        "buffers are given back although the graph is kept",
        "engine/stack.py",
        "with WORKSPACE.lease() if keep else ctx.lease as lease:",
        "with ctx.lease as lease:",
        FUZZ,
    ),
    Mutation(
        "a gradient is given back before it was copied",
        "engine/stack.py",
        "                if input_grad is not None and following is not None:\n",
        "                lease.give(held)\n                held = None\n"
        "                if input_grad is not None and following is not None:\n",
        LEASES,
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
        "module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks",
        "False",
        FUZZ,
    ),
    Mutation(
        "a constant before batch statistics has a gradient",
        "engine/layer_pass.py",
        "if learned.bias is not None and not layer.batch_statistics:",
        "if learned.bias is not None:",
        FUZZ,
    ),
    Mutation(
        "γ's gradient belongs to another step",
        "engine/layer_pass.py",
        "learned.gamma[first:last] = sums[1]",
        "learned.gamma[first:last] = sums[1].flip(0)",
        FUZZ,
    ),
    Mutation(
        "a pooled variance's gradient does not reach the means",
        "engine/normalisation.py",
        "offset = slope * (found.affine.mean - own.mean.detach()) - into[0] / counts",
        "offset = -into[0] / counts",
        ("tests/engine/test_normalisation.py",),
    ),
    Mutation(
        "what later spans want of the pooled past is lost",
        "engine/normalisation.py",
        "if carried is not None and later is not None:",
        "if False:",
        ("tests/engine/test_normalisation.py",),
    ),
    Mutation(
        "the past of a span is forgotten",
        "engine/layer_pass.py",
        "                past = parts[-1].carried\n",
        "                past = None\n",
        ("tests/nn/test_fused_parity.py",),
    ),
    Mutation(
        "a leak's gradient is that of the whole potential",
        "engine/_cpu/scan_reverse.inl",
        "drive * (potential - (away * scale[n] + shift[n]));",
        "drive * potential;",
        ("tests/engine/test_scan.py",),
    ),
    Mutation(
        "a sample's own mean keeps its gradient",
        "engine/normalisation.py",
        "grad.sub_(mean).addcmul_",
        "grad.addcmul_",
        ("tests/nn/test_fused_parity.py",),
    ),
]
