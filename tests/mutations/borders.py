"""Faults at the borders: of what enters a kernel, of prepared weights, of what stands between."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

DOOR = ("tests/engine/test_workspace.py",)
WITHIN = ("tests/nn/test_borders.py", "tests/nn/network/test_kept_changes.py")
STREAMS = ("tests/nn/test_streams.py", "tests/nn/network/test_kept_changes.py", "tests/engine/test_synapse.py")
KEPT = ("tests/nn/network/test_kept_changes.py",)
WEIGHTS = ("tests/nn/blocks/test_weights.py",)

BORDERS = [
    Mutation("a kernel reads another type", "engine/workspace.py", "        and tensor.dtype is dtype\n", "", DOOR),
    Mutation("a kernel reads beyond the end", "engine/workspace.py", "        and tensor.numel() == size\n", "", DOOR),
    Mutation(
        "a kernel reads strided values as if they lay together",
        "engine/workspace.py",
        "        and tensor.is_contiguous()\n",
        "",
        DOOR,
    ),
    Mutation(
        "a subclass may keep its values elsewhere",
        "engine/workspace.py",
        "        type(tensor) in PLAIN\n        and ",
        "        ",
        DOOR,
    ),
    Mutation(
        "a buffer of the default type",
        "engine/cpu/launch.py",
        "mean, var = (torch.empty(steps, channels, dtype=F32, device=CPU)",
        "mean, var = (torch.empty(steps, channels, device=CPU)",
        (*DOOR, *WITHIN),
    ),
    Mutation(
        "a bias is read as if it lay together",
        "engine/synapse.py",
        "bias.detach().contiguous()",
        "bias.detach()",
        ("tests/engine/test_synapse.py",),
    ),
    Mutation(
        "a bias of another length",
        "nn/fuse.py",
        '("bias", weights.bias, shape[:1])',
        '("bias", weights.bias, ())',
        WEIGHTS,
    ),
    Mutation(
        "parameters that are plain tensors are not looked at",
        "nn/fuse.py",
        "if tensor is not None and (tensor.dtype != dtype or tensor.device != device):",
        "if False:",
        WEIGHTS,
    ),
    Mutation(
        "tied weights share the first layer's bias",
        "engine/synapse.py",
        "key, version = (id(weight), id(bias)),",
        "key, version = (id(weight), 0),",
        STREAMS,
    ),
    Mutation(
        "a bias that was changed stays the old one",
        "engine/synapse.py",
        "(_changes, *version_of(weight), *version_of(bias), geometry",
        "(_changes, *version_of(weight), geometry",
        STREAMS,
    ),
    Mutation(
        "fused optimizers are not noticed",
        "engine/synapse.py",
        "register_optimizer_step_post_hook(lambda *_: weights_changed())",
        "register_optimizer_step_post_hook(lambda *_: None)",
        STREAMS,
    ),
    Mutation(
        "packed weights are seen before they are finished",
        "engine/synapse.py",
        '            call("bntt_pack", job, weight, (packed, torch.float32, packed.numel()))\n'
        "            self._packed[key] = packed\n",
        "            self._packed[key] = packed\n"
        '            call("bntt_pack", job, weight, (packed, torch.float32, packed.numel()))\n',
        STREAMS,
    ),
    Mutation(
        "a mode over functions is passed by",
        "nn/fuse.py",
        "if private.being_overridden():",
        "if False:",
        WITHIN,
    ),
    Mutation(
        "a patched class is passed by",
        "nn/untouched.py",
        "methods != _methods_called(cls):",
        "False:",
        WITHIN,
    ),
    Mutation(
        "weights of a subclass are taken for numbers",
        "engine/workspace.py",
        "return type(tensor) in PLAIN and tensor.layout is",
        "return tensor.layout is",
        WITHIN,
    ),
    Mutation(
        "a kept chain does not look at versions",
        "nn/network/advance.py",
        " and self.versions == list(map(version_of, made.tensors))",
        "",
        KEPT,
    ),
    Mutation(
        "a kept chain does not look at what is in modules and classes",
        "nn/network/advance.py",
        "self.settings == settings and same and",
        "self.settings == settings and",
        KEPT,
    ),
    Mutation(
        "a kept chain does not compare values at the first step",
        "nn/network/advance.py",
        "if not held.same_values():",
        "if False:",
        KEPT,
    ),
]
