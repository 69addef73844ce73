"""``bntt bench``: speed compared with other ways and libraries, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bntt.bench.cases import Case
    from bntt.bench.deployed import Deployed
    from bntt.bench.parity import Parity
    from bntt.bench.timing import Comparison
    from bntt.charts.records import Figure


def bench(
    out: Path = Path("bench"),
    rounds: int | None = None,
    cases: Literal["standard", "sweep", "norms", "vgg9-norms", "deploy", "accuracy", "scaling", "all"] = "standard",
    variants: tuple[str, ...] = (),
    device: str = "cpu",
    data: str = "",
) -> None:
    """Time the per-step loop, plain PyTorch and the kernels in turn, after checking that all give the same numbers.

    SpikingJelly and snnTorch take part if they are installed (`make bench-peers`). Writes bench.json and bench.png.
    Keep the machine quiet: a round is one pass of every variant, and ratios are taken within rounds.

    Example: bntt bench --rounds 3

    Args:
        out: folder for the results.
        rounds: number of timed rounds, after the warm-up: 5 by default. For accuracy: number of starts, by default 3 on
            Fashion-MNIST and 1 on CIFAR-10.
        cases: "standard": the standard comparisons; "sweep": time and memory against T; "norms": training of VGG9, of
            the network for sequences and of ResNet-19 with every norm; "vgg9-norms": of VGG9 only; "all": standard,
            sweep and norms. "deploy": the trained networks that come with the package, from sample to logits, in every
            way to run them, on one thread (deploy.json). "accuracy": time to train the same network in every variant to
            87 % on Fashion-MNIST and 50 % on CIFAR-10, some hours (accuracy.json); if it was stopped, it continues with
            the trainings in --out's accuracy.json. "scaling": a model of an update's time, fitted here and checked on
            cases that the fit did not use (scaling.json).
        variants: what to time: loop, reference, fused, recompute, bf16-grad, bf16, "bf16 recompute", "dense limit" and
            the peers, where they have the network and its norm; the loop is always timed. Default: loop, reference,
            fused, dense limit and the peers. For deploy: pytorch, fused, onnx, runtime, "runtime int8", and each with
            " step"; default: all. For accuracy: fused, bf16-grad, reference, loop and the peers; default: all but
            reference and bf16-grad.
        device: cpu, or cuda. On cuda the kernels are Triton's, batches hold 128 samples (16 in the sweep), and the
            peers are left out.
        data: with accuracy: a folder of pictures by class (train/CLASS, test/CLASS) instead of CIFAR-10's files.
    """
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
    from bntt.bench.speed_chart import speed_figure
    from bntt.engine.compute import Compute
    from bntt.engine.kernels import require
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import RecipeError

    check_folders(out)
    if rounds is not None and rounds < 1:
        raise RecipeError(f"--rounds must be 1 or more, got {rounds}")
    if data and cases != "accuracy":
        raise RecipeError(f"--data {data}: only --cases accuracy reads data")
    require_device(device)
    if cases == "accuracy":
        _accuracy(out, rounds, variants, device, data)
        return
    rounds = rounds or 5
    if own := {"scaling": _scaling, "deploy": _deploy}.get(cases):
        own(out, rounds, variants, device)
        return
    require(Compute(kernels_of(device)))
    if unknown := [name for name in variants if name not in available(device)]:
        raise RecipeError(
            f"--variants: cannot time {', '.join(unknown)} here; there are {', '.join(available(device))}"
        )
    chosen_variants = list(dict.fromkeys(("loop", *variants))) if variants else usual(device)
    parity = _parity(chosen_variants, device)
    norms = NORM_CASES + SEQUENCE_CASES + RESIDUAL_CASES
    chosen = {"standard": STANDARD, "sweep": SWEEP, "norms": norms, "vgg9-norms": NORM_CASES}.get(
        cases, STANDARD + SWEEP + norms
    )
    if kernels_of(device) == "triton":
        chosen = [replace(case, device=device, batch=16 if case in SWEEP else 128) for case in chosen]
    _write(out, "bench", _compared(chosen, chosen_variants, rounds, parity), speed_figure)


def _write(
    out: Path, name: str, reports: Iterable[Mapping[str, Any]], figure: Callable[[Mapping[str, Any]], Figure]
) -> None:
    """Write the report after each part of a benchmark, and its picture at the end."""
    from bntt.charts.files import save_figure
    from bntt.cli import console
    from bntt.io.files import write_json
    from bntt.runs.environment import environment

    out.mkdir(parents=True, exist_ok=True)
    file, results = out / f"{name}.json", dict[str, Any]()
    try:
        for report in reports:
            results = {**(results or {"environment": environment()}), **report}
            write_json(file, results)
    except Exception as error:  # any kind: raised again, with a note on where the finished parts are
        if results:
            error.add_note(f"what was measured before is in {file}")
        raise
    save_figure(figure(results), file.with_suffix(".png"))
    console.line(f"written: {file} and {file.with_suffix('.png')}")


def _compared(
    cases: Sequence[Case], variants: list[str], rounds: int, parity: list[Parity]
) -> Iterator[Mapping[str, Any]]:
    import torch

    from bntt.bench.timing import compare, report
    from bntt.cli import bench_tables, console

    comparisons: list[Comparison] = []
    threads = torch.get_num_threads()
    for case in cases:
        with console.status(case.name) as say:
            comparisons.append(compare(case, variants, rounds=rounds, threads=threads, progress=say))
        yield report(comparisons, parity, threads)
        bench_tables.show_comparison(comparisons[-1], variants)


def _parity(variants: Sequence[str], device: str) -> list[Parity]:
    from bntt.bench.parity import check_parity
    from bntt.cli import console

    with console.status("checking parity"):
        parity = check_parity(list(variants), device=device)
    for row in parity:
        console.line(f"parity of {row.variant}: logits {row.logits:.1e}, worst gradient {row.gradients:.1e} (relative)")
    return parity


def _deploy(out: Path, rounds: int, variants: tuple[str, ...], device: str) -> None:
    from bntt.bench import deployed
    from bntt.bench.deployed_worker import VARIANTS
    from bntt.cli import bench_tables, console
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

    def reports() -> Iterator[Mapping[str, Any]]:
        found: list[Deployed] = []
        with console.status("deploy") as say:
            for one in deployed.time_networks(chosen, rounds=rounds, progress=say):
                found.append(one)
                yield deployed.report(found)
        for one in found:
            bench_tables.show_deployed(one)

    _write(out, "deploy", reports(), deployed.figure)


def _accuracy(out: Path, starts: int | None, variants: tuple[str, ...], device: str, data: str) -> None:
    import torch

    from bntt.bench import accuracy
    from bntt.bench.cases import usual
    from bntt.cli import bench_tables, console
    from bntt.data import DataError
    from bntt.runs.recipe.file import RecipeError

    if device != "cpu":
        raise RecipeError(f"--device {device}: --cases accuracy runs on the CPU only, leave out --device")
    here, threads = accuracy.variants(), torch.get_num_threads()
    if unknown := [name for name in variants if name not in here]:
        raise RecipeError(f"--variants: cannot train {', '.join(unknown)} here; there are {', '.join(here)}")
    chosen = list(dict.fromkeys(variants)) or [name for name in usual() if name in here and name != "reference"]
    races = []
    for race in accuracy.RACES:
        if data and race.dataset == "cifar10":
            race = replace(race, name=f"{race.name} (pictures)", dataset="images", root=data)
        try:
            race.splits()
        except DataError as error:
            if race.root:
                raise
            console.line(f"not run: {race.name}: {error}")
        else:
            races.append(race)
    if not races:
        raise DataError("neither Fashion-MNIST nor CIFAR-10 is here: see `bntt list datasets`, or --data FOLDER")
    before = _stopped(out / "accuracy.json", threads)
    _parity(chosen, device)

    run = [(race, accuracy.kept(before, race)) for race in races]
    others = [case for case in before["cases"] if case["race"] not in [race.told() for race in races]]

    def report() -> Mapping[str, Any]:
        found = accuracy.report([(race, trainings) for race, trainings in run if trainings], threads)
        return {**found, "cases": others + found["cases"]}

    def reports() -> Iterator[Mapping[str, Any]]:
        for race, trainings in run:
            if trainings:
                console.line(f"{race.name}: trainings kept from before: {len(trainings)}")
            wanted, done = starts or race.starts, tuple(trainings)
            with console.status(race.name) as say:
                for training in accuracy.measure(race, chosen, wanted, threads=threads, done=done, progress=say):
                    trainings.append(training)
                    yield report()
                    console.line(bench_tables.training_line(race, training))
            bench_tables.show_race(accuracy.report([(race, trainings)], threads)["cases"][0])
        yield report()

    _write(out, "accuracy", reports(), accuracy.figure)


def _stopped(file: Path, threads: int) -> Mapping[str, Any]:
    """Read the report of a stopped benchmark, to continue it; without a file, return one without cases."""
    from bntt.bench.timing import versions
    from bntt.io.files import find_object
    from bntt.runs.environment import environment
    from bntt.runs.recipe.file import RecipeError

    if not file.exists():
        return {"cases": []}
    found, now = find_object(file) or {}, environment()
    there = {"threads": found.get("threads"), "versions": found.get("versions")}
    here: dict[str, Any] = {"threads": threads, "versions": versions()}
    for name in ("processor", "commit"):
        there[name], here[name] = found.get("environment", {}).get(name), now[name]
    for name, value in here.items():
        if there[name] != value:
            raise RecipeError(
                f"{file} was measured with other {name} ({there[name]}; here {value}): give another --out, or move it"
            )
    return found


def _scaling(out: Path, rounds: int, variants: tuple[str, ...], device: str) -> None:
    from bntt.bench import scaling
    from bntt.cli import console
    from bntt.runs.recipe.file import RecipeError

    if device != "cpu" or variants:
        raise RecipeError("--cases scaling times the fused kernels on the CPU: leave out --device and --variants")

    def reports() -> Iterator[Mapping[str, Any]]:
        measured = dict[scaling.Point, float]()
        with console.status("scaling") as say:
            for point, seconds in scaling.measure(scaling.FITTED + scaling.UNSEEN, rounds=rounds, progress=say):
                measured[point] = seconds
                yield {"points": [{"name": one.name, "seconds": found} for one, found in measured.items()]}
        yield (report := scaling.report(measured))
        console.columns("An update of VGG9", ("", "measured", "by the model", "error", ""), scaling.rows(report))
        others = [(one["machine"], f"{one['seconds']:.3f} s", one["assumed"]) for one in report["elsewhere"]]
        title = "The paper's update (T=25, B=128) elsewhere: a model, not run"
        console.columns(title, ("", "update", "assumed"), others)

    _write(out, "scaling", reports(), scaling.figure)
