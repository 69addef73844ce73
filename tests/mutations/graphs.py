"""Faults of runs that are graphs: residual sums, pools, masks, and how values and gradients live between nodes."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

RESIDUAL = ("tests/nn/fusion/test_fused_parity.py",)

GRAPHS = [
    Mutation(
        "a value goes back before its last reader",
        "engine/graph/stack.py",
        "            value.readers -= 1\n",
        "            value.readers = 0\n",
        RESIDUAL,
    ),
    Mutation(
        "a value goes back before the way back has read it",
        "engine/graph/stack.py",
        "            value.keepers += kept and keeps\n",
        "            value.keepers += kept and keeps and one is passes[0]\n",
        RESIDUAL,
    ),
    Mutation(
        "only one reader's gradient comes back",
        "engine/graph/stack.py",
        "                into[at] = _added(into[at], one, lease)\n",
        "                into[at] = one\n",
        RESIDUAL,
    ),
    Mutation(
        "scales of gradients that add up are not looked at",
        "engine/graph/stack.py",
        "    a.values.add_(b.values, alpha=b.scale / a.scale)\n",
        "    a.values.add_(b.values)\n",
        ("tests/engine/graph/test_stack.py",),
    ),
    Mutation(
        "a sum's two gradients are one buffer",
        "engine/graph/layer.py",
        "return [grad, SpikeGrad(copy.copy_(grad.values), grad.scale, copy)]",
        "return [grad, grad]",
        ("tests/engine/graph/test_layer.py",),
    ),
    Mutation(
        "the way back of a current forgets its mean",
        "engine/graph/layer.py",
        "(g * (values - reverse.affine.mean[t])).sum((0, 1, 2)) * inverse[t]",
        "(g * values).sum((0, 1, 2)) * inverse[t]",
        ("tests/engine/test_scan.py", *RESIDUAL),
    ),
    Mutation(
        "every layer has the same mask",
        "nn/blocks.py",
        "            module.number = now\n",
        "            module.number = 0\n",
        ("tests/nn/network/test_settings.py", "tests/nn/blocks/test_dropout.py"),
    ),
    Mutation(
        "the mask's units lie in the order of memory",
        "nn/fuse.py",
        "        stays: Tensor = dropout.stays(site.call.noise, (channels, height, width), site.device)\n"
        "        return stays.permute(0, 2, 3, 1).to(torch.uint8).contiguous()\n",
        "        stays: Tensor = dropout.stays(site.call.noise, (height, width, channels), site.device)\n"
        "        return stays.to(torch.uint8).contiguous()\n",
        RESIDUAL,
    ),
    Mutation(
        "what remains after dropout is not scaled",
        "engine/graph/layer.py",
        "        return Passed(Spikes(out, x.scale / left,",
        "        return Passed(Spikes(out, x.scale,",
        RESIDUAL,
    ),
]
