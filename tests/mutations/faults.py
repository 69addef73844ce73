"""The faults that tests must find, by the file that is changed and the tests that judge it."""

FAULTS: dict[tuple[str, ...], dict[str, tuple[str, str]]] = {
    ("*/cpu/events.inl", "tests/engine/test_synapse.py"): {
        "a padded 1x1 convolution whose output is as large as its input is a fully connected layer": (
            "e.kernel_width == 1 && e.pad_height == 0 && e.pad_width == 0 &&",
            "e.kernel_width == 1 &&",
        ),
    },
    ("*/cpu/events.inl", "tests/fuzz/test_fuzz.py"): {
        "taps of the event-driven weight gradient are mirrored": (
            "L::load(at + (Across - 1 - b) * N + n * LANES);",
            "L::load(at + b * N + n * LANES);",
        ),
        "padding shifts no pixels of a strided layer": (
            "pixel = ((tap - pad) % stride + stride) % stride;",
            "pixel = tap % stride;",
        ),
        "a count of more than one is one event": (
            "size += counts[c] <= 4 ? counts[c] : (counts[c] - 1) % 4 + 1;",
            "size += counts[c] > 0;",
        ),
    },
    ("*/cpu/scan.inl", "tests/engine/test_scan.py"): {
        "the kernels do not turn a neuron": ("signs ? L::load(signs + i) * potential : potential", "potential"),
    },
    ("*/cpu/scan.inl", "tests/fuzz/test_fuzz.py"): {
        "the kernels' soft reset keeps θ": ("kept - L::where(fired, L::load(amounts + i))", "kept"),
    },
    ("*/cpu/winograd.inl", "tests/engine/test_winograd.py"): {
        "a row of the matrix that tiles are transformed by has another sign": (
            "v[2] = fused(L::fill(-A), odd_a, even_a);",
            "v[2] = fused(L::fill(A), odd_a, even_a);",
        ),
        "pixels beside a tile are those of the next row": ("x >= 0 && x < w.width;", "x >= 0;"),
        "kernels are not turned": ("taps[8 - tap][lane]", "taps[tap][lane]"),
        "a tile at the right edge is written whole": ("tile.across = smaller(4, w.width - left);", "tile.across = 4;"),
        "the last pixel of a tile lacks the point at infinity": (
            "fused(L::fill(B * BB), odd_b, m[5])",
            "fused(L::fill(B * BB), odd_b, V{})",
        ),
        "two points have each other's factor": (
            "{1 / (aa * bb), of_a, of_a, of_b, of_b, 1}",
            "{1 / (aa * bb), of_b, of_b, of_a, of_a, 1}",
        ),
        "of three tiles that are left two are multiplied": (
            "if (row + 2 < count) multiply<4, N>",
            "if (row + 3 < count) multiply<4, N>",
        ),
        "a strip is written before the next one was read": (
            "for (Size number = 0, next; number < strip.count(); ++number, count = next) {",
            (
                "for (Size number = 0, next; number < strip.count(); ++number) {\n"
                "      count = enter(image, number, in + number % 2 * room, both + number % 2 * strip.tiles, zeros);"
            ),
        ),
    },
    ("analysis/accuracy/__init__.py", "tests/analysis/accuracy/test_accuracy.py"): {
        "one draw has a spread of 0": ("if len(self.correct) > 1 else None", "if len(self.correct) > 1 else 0.0"),
    },
    ("data/samples.py", "tests/data/test_samples.py"): {
        "validation takes all samples of a class": ("most = min(ends.values(), default=0)", "most = len(labels) - 1"),
    },
    ("deploy/bundle.py", "tests/deploy/test_bundle.py"): {
        "an array in another order of memory is written turned": (
            "name: np.ascontiguousarray(values) for",
            "name: values for",
        ),
    },
    ("deploy/from_torch.py", "tests/deploy/test_constant.py"): {
        "every batch has the noise of the first": ("np.arange(count, count + len(x))", "np.arange(len(x))"),
    },
    ("deploy/nir/graph.py", "tests/deploy/nir/test_graph.py"): {
        "what fires before integration is reset by λ θ": (
            'threshold if neurons.rule == "before" else leak * threshold',
            "leak * threshold",
        ),
    },
    ("deploy/nir/graph.py", "tests/deploy/nir/test_reading.py"): {
        "a leak is read by another step than dt": ("np.maximum(0.0, 1 - dt / tau)", "np.maximum(0.0, 1 - 1e-4 / tau)"),
        "a sum of spikes counts as their mean": ("float(math.prod(size)) if sums and not largest else 1.0", "1.0"),
    },
    (
        "engine/cpu/launch.py",
        "tests/engine/test_workspace.py",
        "tests/nn/fusion/test_fused_paths.py",
        "tests/nn/network/test_kept.py",
    ): {
        "a buffer of the default type": (
            "mean, var = (torch.empty(steps, channels, dtype=F32, device=CPU)",
            "mean, var = (torch.empty(steps, channels, device=CPU)",
        ),
    },
    ("engine/cpu/library.py", "tests/engine/test_synapse.py"): {
        "rows stride as columns do": ('"pad": padding, "stride": stride}', '"pad": padding, "stride": stride[::-1]}'),
    },
    ("engine/cpu/scan_reverse.inl", "tests/engine/test_scan.py"): {
        "a leak's gradient is that of the whole potential": (
            "(Before ? kept : drive) * held;",
            "(Before ? kept : drive) * potential;",
        ),
    },
    ("engine/graph/layer.py", "tests/engine/graph/test_layer.py"): {
        "a pooled variance's gradient does not reach the means": (
            "offset = slope * (found.affine.mean - own.mean.detach()) - into[0] / counts",
            "offset = -into[0] / counts",
        ),
        "what later spans want of the pooled past is lost": (
            "if carried is not None and later is not None:",
            "if False:",
        ),
        "a sum's two gradients are one buffer": (
            "return [grad, SpikeGrad(copy.copy_(grad.values), grad.scale, copy)]",
            "return [grad, grad]",
        ),
    },
    ("engine/graph/layer.py", "tests/nn/test_reduce.py"): {
        "reduce is forgotten in the backward pass": (
            "sums[:2] if compute.reduce is None else compute.reduce(sums[:2].clone())",
            "sums[:2]",
        ),
    },
    ("engine/graph/layer.py", "tests/engine/test_scan.py", "tests/nn/fusion/test_fused_parity.py"): {
        "the way back of a current forgets its mean": (
            "(g * (values - reverse.affine.mean[t])).sum((0, 1, 2)) * inverse[t]",
            "(g * values).sum((0, 1, 2)) * inverse[t]",
        ),
    },
    ("engine/graph/layer.py", "tests/engine/test_winograd.py"): {
        "layers of half as many channels are written over gradients that are still to be read": (
            "alike = out.data_ptr() == grad.data_ptr() and out.shape == grad.shape",
            "alike = out.data_ptr() == grad.data_ptr()",
        ),
    },
    ("engine/graph/layer.py", "tests/fuzz/test_fuzz.py"): {
        "the saved mean is the running one": (
            "mean, var = layer.mean[steps].clone(), layer.var[steps]",
            "mean, var = layer.mean[steps], layer.var[steps]",
        ),
        "the first term of Eq. 10 is dropped": (
            "return (scale * (sums[0] / rows)).float(), ",
            "return torch.zeros_like(scale), ",
        ),
        "the second term of Eq. 10 is dropped": (
            "(scale * inverse * (sums[1] / rows)).float(), None\n",
            "torch.zeros_like(scale), None\n",
        ),
        "no count is above one": (
            "return Spikes(self.counts, 1 / area, area,",
            "return Spikes(self.counts, 1 / area, 1,",
        ),
        "a constant before batch statistics has a gradient": (
            "if bias is not None and (shifts or not self.batch_statistics):",
            "if bias is not None:",
        ),
        "γ's gradient belongs to another step": ("gamma[first:last] = sums[1]", "gamma[first:last] = sums[1].flip(0)"),
    },
    ("engine/graph/layer.py", "tests/nn/fusion/test_fused_parity.py"): {
        "a chunk has the folded neurons of the first steps": (
            "neuron_steps(self.neuron, self.first + begin, self.first + end)",
            "neuron_steps(self.neuron, 0, end - begin)",
        ),
        "the past of a span is forgotten": (
            "                past = parts[-1].carried\n",
            "                past = None\n",
        ),
        "nor where the neurons have no weights": (
            "                scale[first:last] = sums[1]\n",
            "                pass\n",
        ),
        "a bias before statistics of other calls' steps too gets no gradient": (
            "shifts = found.past is not None or carry.past is not None",
            "shifts = False",
        ),
        "a sample's own mean keeps its gradient": ("grad.sub_(mean).addcmul_", "grad.addcmul_"),
        "what remains after dropout is not scaled": (
            "        return Passed(Spikes(out, x.scale / left,",
            "        return Passed(Spikes(out, x.scale,",
        ),
    },
    ("engine/graph/layer.py", "tests/nn/test_neurons.py"): {
        "a leak's gradient is divided by the leak that it was never multiplied by": (
            ("sums[0]\n        if leak is not None:\n            leak += sums[2]"),
            ("sums[0]\n        if leak is not None:\n            leak += 1.1 * sums[2]"),
        ),
    },
    ("engine/graph/stack.py", "tests/engine/graph/test_stack.py"): {
        "scales of gradients that add up are not looked at": (
            "    a.values.add_(b.values, alpha=b.scale / a.scale)\n",
            "    a.values.add_(b.values)\n",
        ),
    },
    ("engine/graph/stack.py", "tests/engine/test_workspace.py"): {
        "a gradient is given back before it was copied": (
            "                if input_grad is not None:\n",
            (
                "                lease.give(following.held)\n"
                "                following = replace(following, held=None)\n"
                "                if input_grad is not None:\n"
            ),
        ),
        "the membranes that a state holds are the workspace's": (
            "lambda membrane: lease.keep(membrane).detach()",
            "Tensor.detach",
        ),
    },
    ("engine/graph/stack.py", "tests/fuzz/test_fuzz.py"): {
        "no gradient goes from span to span": (
            "every=len(spans) > 1 or any(map(any, wants_starts))",
            "every=any(map(any, wants_starts))",
        ),
        "a span starts from its own end": (
            "                measured.append(seen)\n                out.add",
            (
                "                measured.append(seen)\n"
                "                span.starts = ends if first + size < steps else span.starts\n"
                "                out.add"
            ),
        ),
        "buffers are given back although the graph is kept": (
            "with nullcontext(ctx.lease) if keep else ctx.lease as lease:",
            "with ctx.lease as lease:",
        ),
    },
    ("engine/graph/stack.py", "tests/nn/fusion/test_fused_parity.py"): {
        "a value goes back before its last reader": (
            "            value.readers -= 1\n",
            "            value.readers = 0\n",
        ),
        "a value goes back before the way back has read it": (
            "            value.keepers += kept and keeps\n",
            "            value.keepers += kept and keeps and one is passes[0]\n",
        ),
        "only one reader's gradient comes back": (
            "                into[at] = _added(into[at], one, lease)\n",
            "                into[at] = one\n",
        ),
    },
    ("engine/graph/stack.py", "tests/nn/network/test_advance.py"): {
        "no gradient comes from the last membranes": (
            ("        if membrane is not None:\n            membrane = membrane.contiguous().clone()\n"),
            (
                "        if membrane is not None and not len(membrane):\n"
                "            membrane = membrane.contiguous().clone()\n"
            ),
        ),
        "without gradients too": ("tuple(_changed(end, lease.keep, Tensor.detach) for end in starts)", "tuple(starts)"),
    },
    ("engine/layer_spec.py", "tests/fuzz/test_fuzz.py"): {
        "a window's gradient is not shared out": (
            "return self.grad.scale / (self.window[0] * self.window[1])",
            "return self.grad.scale",
        ),
    },
    ("engine/private.py", "tests/fuzz/test_fuzz.py"): {
        "nobody looks at hooks": (
            "module._forward_hooks or module._forward_pre_hooks or "
            "module._backward_hooks or module._backward_pre_hooks",
            "False",
        ),
    },
    ("engine/synapse.py", "tests/nn/test_blocks.py"): {
        "a bias is read as if it lay together": ("bias.detach().contiguous()", "bias.detach()"),
    },
    (
        "engine/synapse.py",
        "tests/engine/test_synapse.py",
        "tests/nn/network/test_kept.py",
    ): {
        "tied weights share the first layer's bias": (
            "key, version = (id(weight), id(bias)),",
            "key, version = (id(weight), 0),",
        ),
        "a bias that was changed stays the old one": (
            "(_changes, *version_of(weight), *version_of(bias), geometry",
            "(_changes, *version_of(weight), geometry",
        ),
        "fused optimizers are not noticed": (
            "register_optimizer_step_post_hook(lambda *_: weights_changed())",
            "register_optimizer_step_post_hook(lambda *_: None)",
        ),
        "packed weights are seen before they are finished": (
            (
                '            call("bntt_pack", job, weight, (packed, torch.float32, packed.numel()))\n'
                "            self._packed[key] = packed\n"
            ),
            (
                "            self._packed[key] = packed\n"
                '            call("bntt_pack", job, weight, (packed, torch.float32, packed.numel()))\n'
            ),
        ),
    },
    ("engine/workspace.py", "tests/engine/test_workspace.py"): {
        "a kernel reads another type": ("        and tensor.dtype is dtype\n", ""),
        "a kernel reads beyond the end": ("        and tensor.numel() == size\n", ""),
        "a kernel reads strided values as if they lay together": ("        and tensor.is_contiguous()\n", ""),
        "a subclass may keep its values elsewhere": ("        type(tensor) in PLAIN\n        and ", "        "),
    },
    ("engine/workspace.py", "tests/nn/fusion/test_fused_paths.py", "tests/nn/network/test_kept.py"): {
        "weights of a subclass are taken for numbers": (
            "return type(tensor) in PLAIN and tensor.layout is",
            "return tensor.layout is",
        ),
    },
    ("io/checkpoint.py", "tests/io/test_tied_weights.py"): {
        "tied weights are not told apart": ("if value.numel() and view in views:", "if False:"),
    },
    ("nn/blocks.py", "tests/nn/test_blocks.py"): {
        "every layer has the same mask": ("            module.number = now\n", "            module.number = 0\n"),
    },
    ("nn/call.py", "tests/nn/network/test_advance.py"): {
        "the membrane of another sample": ("    return part[keep]\n", "    return part[keep].roll(1, 0)\n"),
    },
    ("nn/encoders.py", "tests/nn/test_encoders.py"): {
        "frames come one step late": ("x = x[:, wanted", "x = x.roll(1, 1)[:, wanted"),
    },
    ("nn/fuse.py", "tests/nn/test_blocks.py"): {
        "a bias of another length": ('("bias", weights.bias, shape[:1])', '("bias", weights.bias, ())'),
        "parameters that are plain tensors are not looked at": (
            "if tensor is not None and (tensor.dtype != dtype or tensor.device != device):",
            "if False:",
        ),
    },
    ("nn/fuse.py", "tests/nn/fusion/test_fused_parity.py"): {
        "a leak gets no gradient through the input that decays with it": (
            "gain = torch.as_tensor(neuron.input_gain, dtype",
            "gain = torch.as_tensor(torch.as_tensor(neuron.input_gain).detach(), dtype",
        ),
        "the mask's units lie in the order of memory": (
            (
                "        stays: Tensor = dropout.stays(site.call.noise, (channels, height, width), site.device)\n"
                "        return stays.permute(0, 2, 3, 1).to(torch.uint8).contiguous()\n"
            ),
            (
                "        stays: Tensor = dropout.stays(site.call.noise, (height, width, channels), site.device)\n"
                "        return stays.to(torch.uint8).contiguous()\n"
            ),
        ),
    },
    ("nn/fuse.py", "tests/nn/fusion/test_plan.py"): {
        "a learned threshold is a number to the kernels": ("if isinstance(threshold, Tensor):", "if False:"),
    },
    ("nn/fuse.py", "tests/nn/network/test_advance.py"): {
        "γ of the first steps, whatever the state": (
            "which = slice(steps.start, steps.stop)",
            "which = slice(0, len(steps))",
        ),
    },
    ("nn/fuse.py", "tests/nn/fusion/test_fused_paths.py", "tests/nn/network/test_kept.py"): {
        "a mode over functions is passed by": ("if private.being_overridden():", "if False:"),
    },
    ("nn/network/advance.py", "tests/nn/network/test_advance.py"): {
        "statistics of the first steps take the batch in": ("steps = call.steps(x)", "steps = slice(0, len(x))"),
    },
    ("nn/network/advance.py", "tests/nn/network/test_kept.py"): {
        "a kept chain does not look at versions": (" and self.versions == list(map(version_of, made.tensors))", ""),
        "a kept chain does not look at what is in modules and classes": (
            "self.settings == settings and same and",
            "self.settings == settings and",
        ),
        "a kept chain does not compare values at the first step": ("if not held.same_values():", "if False:"),
    },
    ("nn/network/spiking_network.py", "tests/nn/network/test_advance.py"): {
        "the state forgets a step": ("steps=before.steps + len(some),", "steps=before.steps + len(some) - 1,"),
    },
    ("nn/norms.py", "tests/nn/test_norms.py", "tests/golden/test_traces.py"): {
        "γ of the next step": (
            "gamma = self.scale * self.gamma[affine]",
            "gamma = self.scale * self.gamma.roll(-1, 0)[affine]",
        ),
    },
    ("nn/untouched.py", "tests/nn/fusion/test_fused_paths.py", "tests/nn/network/test_kept.py"): {
        "a patched class is passed by": ("methods != _methods_called(cls):", "False:"),
    },
    ("ops/fold.py", "tests/ops/test_fold.py"): {
        "a fold forgets that the input decays": (
            "    scale, shift = (rows * _column(neuron.input_gain, rows) for rows in (scale, shift))\n",
            "",
        ),
    },
    ("ops/folded.py", "tests/ops/test_fold.py"): {
        "a turned neuron's gradient has the sign of another": (
            "return self.slope * self.surrogate(v)",
            "return self.sign * self.slope * self.surrogate(v)",
        ),
    },
    ("ops/lif.py", "tests/ops/test_lif.py"): {
        "soft reset adds": ("return membrane - threshold * spikes", "return membrane + threshold * spikes"),
        "time runs backwards": ("for drive in current.unbind(0):", "for drive in reversed(current.unbind(0)):"),
        "the leak takes the current too": (
            "integrated = neuron.leak * membrane + current",
            "integrated = neuron.leak * (membrane + current)",
        ),
        "a gradient through the reset": (
            "self.reset(membrane, spikes.detach(), self.threshold)",
            "self.reset(membrane, spikes, self.threshold)",
        ),
    },
    ("ops/lif.py", "tests/ops/test_lif.py", "tests/golden/test_traces.py"): {
        "an input that decays does not": (
            "return neuron.rule(neuron.drive(current), membrane, neuron)",
            "return neuron.rule(current, membrane, neuron)",
        ),
    },
    ("ops/norm.py", "tests/ops/test_norm.py"): {
        "the mean is added": ("y = (x - over(mean)) *", "y = (x + over(mean)) *"),
        "statistics are constants": (
            "    mean = x.mean(dims, keepdim=True)\n",
            ("    x = x.detach()\n    mean = x.mean(dims, keepdim=True)\n"),
        ),
    },
    ("ops/poisson.py", "tests/ops/test_random.py"): {
        "the expected spike is twice what it is": (
            "(x.abs() < 2).to(x.dtype) / 2 if signed",
            "(x.abs() < 2).to(x.dtype) if signed",
        ),
        "negative pixels lose their sign": (
            "return (2 * uniform <= x.abs()) * x.sign()",
            "return (2 * uniform <= x.abs()) * x.sign().abs()",
        ),
    },
    ("ops/pooling.py", "tests/ops/test_norm.py"): {
        "TAB pools the future": ('device="cpu").tril(before)', 'device="cpu").triu(before)'),
    },
    ("ops/random.py", "tests/ops/test_random.py"): {
        "a counter of few bits runs over": ("(counter.to(torch.int64) + 1)", "(counter + 1)"),
    },
    ("ops/spike.py", "tests/ops/test_spike.py"): {
        "another 1/θ in the surrogate": (
            "return grad_spikes * _slope(ctx), None, None",
            "return grad_spikes * _slope(ctx) / ctx.threshold, None, None",
        ),
    },
    ("runs/identity.py", "tests/runs/recipe/test_option_versions.py"): {
        "an option that changed has no version": ('return {"train.warmup": 2} if', "return {} if"),
    },
    ("runs/training/start.py", "tests/runs/recipe/test_option_versions.py"): {
        "a run of an old rule is resumed": ("found.path, resuming=True)", "found.path, resuming=False)"),
    },
    ("studies/pool.py", "tests/runs/recipe/test_option_versions.py"): {
        "a kept run takes the rules of this code": (
            "_ann_of(recipe, path, evaluation), environment)",
            "_ann_of(recipe, path, evaluation))",
        ),
    },
    ("training/schedule.py", "tests/training/test_schedule.py"): {
        "a warm-up rises with every epoch": (
            "return (done + 1) / warm",
            "return (done + 1 if by_step else min(warm, (epoch + 1) * self.updates)) / warm",
        ),
    },
    ("training/session.py", "tests/training/test_processes.py"): {
        "statistics of the process's own part": ("compute, reduce=self.processes.reduce)", "compute, reduce=None)"),
    },
    ("training/session.py", "tests/training/test_fit.py"): {
        "gradients of what is not stepped add up": ("self.model.zero_grad(set_to_none=True)", "pass"),
        "the norm is over what is not stepped, too": (
            "for one in stepped(optimizer)\n        if",
            "for one in names\n        if",
        ),
    },
    ("training/session.py", "tests/training/test_session.py", "tests/training/test_processes.py"): {
        "every process's loss counts alike, however many samples it has": (
            "share = len(part[1]) / total",
            "share = 1 / (processes.count * len(parts))",
        ),
    },
}
"""A pattern of a file below ``src/bntt`` and its tests: names, a text that occurs once there, what it becomes."""
