"""``bntt bench``: how fast, against what, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from bntt.bench.deployed import Deployed
    from bntt.bench.timing import Comparison


def bench(
    out: Path = Path("bench"),
    rounds: int = 5,
    cases: Literal["standard", "sweep", "norms", "vgg9-norms", "deploy", "all"] = "standard",
    variants: tuple[str, ...] = (),
    device: str = "cpu",
) -> None:
    """Time the per-step loop, plain PyTorch and the kernels in turn, after checking that all give the same numbers.

    SpikingJelly and snnTorch take part if they are installed (`make bench-peers`). Writes bench.json and bench.png.
    Keep the machine quiet: a round is one step of every variant, and ratios are taken within rounds.

    Example: bntt bench --rounds 3

    Args:
        out: folder for the results.
        rounds: number of timed rounds, after the warm-up.
        cases: "standard": the standard comparisons; others: time and memory against T, or every norm in training of
            VGG9, of the network for sequences and of ResNet-19; or all. "deploy": the trained networks that come with
            the package, from sample to logits, in every way to run them, on one thread (deploy.json).
        variants: what to time: loop, reference, fused, recompute, bf16-grad, bf16, "bf16 recompute", "dense limit" and
            the peers; the loop is always timed. Default: loop, reference, fused, dense limit and the peers. For deploy:
            pytorch, fused, onnx, runtime, "runtime int8", and each with " step"; default: all.
        device: cpu, or cuda: there the kernels are Triton's, batches hold 128 samples (16 against T), and the peers are
            left out.
    """
    import json
    from dataclasses import replace

    import torch

    from bntt.bench.cases import (
        NORM_CASES,
        RESIDUAL_CASES,
        SEQUENCE_CASES,
        STANDARD,
        SWEEP,
        available,
        kernels_of,
        usual,
    )
    from bntt.bench.parity import check_parity
    from bntt.bench.speed_chart import speed_figure
    from bntt.bench.timing import compare, report
    from bntt.charts.files import save_figure
    from bntt.cli import console
    from bntt.engine.compute import Compute
    from bntt.engine.kernels import require
    from bntt.runs.environment import environment
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError

    if rounds < 1:
        raise RecipeError(f"--rounds must be 1 or more, got {rounds}")
    require_device(device)
    if cases == "deploy":
        _deploy(out, rounds, variants, device)
        return
    require(Compute(kernels_of(device)))
    threads = torch.get_num_threads()
    if unknown := [name for name in variants if name not in available(device)]:
        raise RecipeError(
            f"--variants: cannot time {', '.join(unknown)} here; there are {', '.join(available(device))}"
        )
    chosen_variants = list(dict.fromkeys(("loop", *variants))) if variants else usual(device)
    with console.status("checking parity"):
        parity = check_parity(chosen_variants, device=device)
    for row in parity:
        console.line(f"parity of {row.variant}: logits {row.logits:.1e}, worst gradient {row.gradients:.1e} (relative)")
    norms = NORM_CASES + SEQUENCE_CASES + RESIDUAL_CASES
    chosen = {"standard": STANDARD, "sweep": SWEEP, "norms": norms, "vgg9-norms": NORM_CASES}.get(
        cases, STANDARD + SWEEP + norms
    )
    if kernels_of(device) == "triton":
        chosen = [replace(case, device=device, batch=16 if case in SWEEP else 128) for case in chosen]
    comparisons = []
    for case in chosen:
        with console.status(case.name) as say:
            comparisons.append(compare(case, chosen_variants, rounds=rounds, threads=threads, progress=say))
        _show(comparisons[-1])
    out.mkdir(parents=True, exist_ok=True)
    results = {"environment": environment()} | report(comparisons, parity, threads)
    (out / "bench.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    save_figure(speed_figure(results), out / "bench.png")
    console.line(f"written: {out / 'bench.json'} and {out / 'bench.png'}")


def _deploy(out: Path, rounds: int, variants: tuple[str, ...], device: str) -> None:
    import json

    from bntt.bench import deployed
    from bntt.bench.deployed_worker import VARIANTS
    from bntt.charts.files import save_figure
    from bntt.cli import console
    from bntt.runs.environment import environment
    from bntt.runs.recipe.file import RecipeError

    if device != "cpu":
        raise RecipeError(f"--device {device}: --cases deploy runs on the CPU only, leave out --device")
    absent = deployed.missing()
    if unknown := [name for name in variants if name not in VARIANTS or name in absent]:
        why = "".join(f"; {absent[name]}" for name in unknown[:1] if name in absent)
        here = [name for name in VARIANTS if name not in absent]
        raise RecipeError(f"--variants: cannot time {', '.join(unknown)} here{why}; there are {', '.join(here)}")
    for name, why in {} if variants else absent.items():
        console.line(f"not timed: {name} ({why})")
    chosen = [name for name in VARIANTS if name not in absent and (name in variants or not variants)]
    with console.status("deploy") as say:
        found = deployed.time_networks(chosen, rounds=rounds, progress=say)
    for one in found:
        _show_deployed(one)
    out.mkdir(parents=True, exist_ok=True)
    results = {"environment": environment()} | deployed.report(found)
    (out / "deploy.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    save_figure(deployed.figure(results), out / "deploy.png")
    console.line(f"written: {out / 'deploy.json'} and {out / 'deploy.png'}")


def _show_deployed(one: Deployed) -> None:
    from bntt.cli import console

    rows = [
        (
            way.variant,
            str(way.batch),
            f"{1e3 * way.median:.2f} ms",
            f"{1e3 * way.median / one.num_steps:.2f} ms",
            f"{way.resident / 2**20:,.0f} MiB",
            f"{way.file / 1e3:,.0f} kB",
            f"{way.within:.1%}",
            f"{way.same_class:.1%}",
        )
        for way in one.ways
    ]
    heads = ("", "samples", "all steps", "a step", "memory", "file", "within 1e-4", "same class")
    console.columns(f"{one.network} ({one.num_steps} steps; {one.images} images)", heads, rows)


def _show(comparison: Comparison) -> None:
    from bntt.cli import console

    rates = comparison.firing_rate.values()
    title = (
        f"{comparison.case.name} (batch {comparison.case.batch}, {min(rates):.1%} to {max(rates):.1%} of neurons fire)"
    )
    rows = [
        (
            timing.variant,
            f"{timing.median:.3f} s",
            f"{comparison.speed(timing.variant):.2f}x",
            f"{timing.peak_over_base / 2**20:,.0f} MiB",
        )
        for timing in comparison.timings
    ]
    console.columns(title, ("", "step", "speed", "memory over base"), rows)
