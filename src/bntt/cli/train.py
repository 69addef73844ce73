"""``bntt train`` and ``bntt demo``: one recipe, one run directory."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from bntt.cli import console, signals

if TYPE_CHECKING:
    from bntt.runs.directory import RunDirectory
    from bntt.runs.recipe.build import RecipeData
    from bntt.runs.recipe.file import Recipe
    from bntt.runs.training.start import TrainingStart
    from bntt.training.processes import Processes

Overrides = Annotated[
    tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="set", aliases=["-s"], metavar="KEY=VALUE")
]
"""Values that override a recipe's, each ``table.key=value``."""


def train(
    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE|RUN")],
    overrides: Overrides = (),
    name: Annotated[str, tyro.conf.arg(help_behavior_hint="(default: the recipe's name)")] = "",
    root: Path = Path("runs"),
    resume: bool = False,
    forget_best: bool = False,
    or_resume: bool = False,
    device: str = "cpu",
    init: Annotated[tuple[str, ...], tyro.conf.arg(metavar="RUN|pretrained NAME", help_behavior_hint="")] = (),
    estimate: bool = False,
    fit_batch: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="[LIMIT]", help_behavior_hint="")] = None,
) -> None:
    """Train a recipe, validate after every epoch, and measure the best epoch on the test images.

    SIGTERM, SIGHUP and Ctrl-C save everything and stop; SIGUSR1 saves everything and continues. Under torchrun,
    several processes train it together, each on its part of every batch (train.batch_size): docs/how-to/distributed.md.

    Example: bntt train fashion-mnist -s train.epochs=3 -s network.norm=bn

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file; with --resume a run directory.
        overrides: a value to change, repeatable: `-s network.num_steps=4`. With --resume: train.epochs (more of them),
            evaluate, compute, checkpoint, data.root, notes.
        name: name of the run directory; a number is added if it exists.
        root: folder for new run directories.
        resume: continue the run directory given as recipe, from its last checkpoint.
        forget_best: with --resume, continue although the best epoch's weights are lost.
        or_resume: start in ROOT/NAME itself, or continue there from the last checkpoint: one command for both.
        init: start from the weights of a run, `--init RUN`, or of a network of `bntt list pretrained`,
            `--init pretrained NAME`: the recipe's init.run or init.pretrained. For other classes the last layer is new.
        estimate: measure a few updates and print the number of updates, time and memory of the whole training, and the
            size of a checkpoint; train nothing and write nothing.
        fit_batch: measure a few updates and propose the largest train.batch_size whose peak memory stays under a limit,
            `--fit-batch 8GiB`, or under the free memory; train nothing and write nothing.
        device: cpu, or cuda; under torchrun each process takes the GPU of its LOCAL_RANK.
    """
    from bntt.runs.recipe.build import require_device
    from bntt.runs.recipe.file import load_recipe
    from bntt.runs.training.start import TrainCommand, resume_or_start_in_all
    from bntt.training.processes import joined_processes, own_device

    foretells, many = estimate or fit_batch is not None, console.rank() is not None
    console.refuse(
        (foretells and many, "--estimate and --fit-batch measure one process: leave out torchrun"),
        (
            len(init) > 2 or (len(init) == 2 and init[0] != "pretrained"),
            f"--init {' '.join(init)}: expected a run directory, or pretrained NAME; put it last",
        ),
        (estimate and fit_batch is not None, "--estimate and --fit-batch: choose one"),
        (
            foretells and (resume or or_resume or forget_best),
            "--estimate and --fit-batch are for a training from its beginning: name the recipe, and leave out "
            "--resume, --or-resume and --forget-best",
        ),
        (
            len(fit_batch or ()) > 1,
            f"--fit-batch {' '.join(fit_batch or ())}: expected one limit, such as 8GiB; put it last",
        ),
    )
    require_device(own_device(device))
    if init:
        key, other = ("init.pretrained", "init.run") if len(init) == 2 else ("init.run", "init.pretrained")
        given = json.dumps(init[-1], ensure_ascii=False)
        overrides = (f'{other}=""', *overrides, f"{key}={given}")  # the recipe may name another source
    if foretells:
        _foretell(load_recipe(recipe, overrides), device, fit_batch)
        return
    command = TrainCommand(recipe, overrides, name, str(root), resume, forget_best, or_resume)
    with joined_processes(device) as processes:
        console.console.quiet = not processes.is_rank0
        _train(resume_or_start_in_all(command, processes), processes, forget_best)


def _foretell(recipe: Recipe, device: str, fit_batch: tuple[str, ...] | None) -> None:
    """Print the estimate of a training or, with ``fit_batch``, the largest batch."""
    from bntt.data import DataError
    from bntt.runs.recipe.build import build_data, noise_as_published, with_absolute_paths
    from bntt.runs.training.estimate import bytes_of, estimate_training, propose_batch

    recipe, limit = with_absolute_paths(recipe), bytes_of(fit_batch[0]) if fit_batch else None
    try:
        with console.progress("preparing data") as progress:
            data = build_data(recipe, progress)
    except DataError as missing:
        if (noise := noise_as_published(recipe)) is None:
            raise
        data = noise
        console.line(f"{missing}\nmeasured instead on noise, in the published number and size of {recipe.data.name}")
    with console.status("measuring"):
        whole = fit_batch is None
        said = estimate_training(recipe, data, device).text() if whole else propose_batch(recipe, data, limit, device)
    console.line(f"{_describe(recipe)}: {said}")


def demo(root: Path = Path("runs")) -> None:
    """Train a small BNTT network on the bundled real images in one to two minutes, and show what it learned.

    Example: bntt demo

    Args:
        root: folder for run directories.
    """
    train("demo", root=root)


def _train(start: TrainingStart, processes: Processes, forget_best: bool) -> None:
    """Load the data and build the network first, so that a mistake leaves no empty directory; then train and test."""
    from bntt.runs.directory import RunDirectory
    from bntt.runs.recipe.build import (
        build_data,
        build_model,
        describe_backend,
        evaluation_loader,
        facts_of,
        training_loader,
        with_absolute_paths,
    )
    from bntt.runs.recipe.file import RecipeError
    from bntt.runs.training.curves import save_curves
    from bntt.runs.training.estimate import modelled, shares_of_steps
    from bntt.runs.training.start import check_shareable, load_initial_weights, load_teacher, open_ann
    from bntt.runs.training.train import train_run

    recipe, device, many = with_absolute_paths(start.recipe), processes.device, processes.count
    if recipe.imported.file:
        raise RecipeError(f"imported.file: {recipe.imported.file} was imported, and cannot be trained here")
    with console.progress("preparing data") as progress:
        data = build_data(recipe, progress)
    check_shareable(recipe, data, processes, resuming=start.resumes)
    model = build_model(recipe, data, device)
    if recipe.init.source and not start.resumes:
        processes.on_rank0(lambda: load_initial_weights(recipe, model, data.train.classes))
    load_teacher(recipe, data, processes)
    if recipe.convert.ann and not start.resumes:
        open_ann(recipe, device)
    training_loader(recipe, data)  # refuses augmentations that these samples cannot have
    evaluation_loader(recipe, data, "test")  # refuses more images than there are
    run = RunDirectory(Path(processes.on_rank0(lambda: str(start.open_directory().path))))
    settings = recipe.train
    if settings.epochs and not start.resumes:
        console.line(f"estimate, before any update: {modelled(recipe, data, model, many).text()}")
    console.line(
        f"{data.label}: {len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test "
        f"images; {_describe(recipe)}{f', by {many} processes' if many > 1 else ''}"
    )
    console.line(describe_backend(recipe, data, model))
    with signals.deferred() as requests:
        how: dict[str, Any] = {"resume": start.resumes, "device": device, "forget_best": forget_best}
        records = train_run(recipe, data, run, requests=requests, processes=processes, **how)
        console.training(records, shares_of_steps(recipe), len(data.train))
    _measure(recipe, data, run, processes)
    if settings.epochs and processes.is_rank0:
        what = "an ANN" if facts_of(recipe).is_ann else recipe.network.norm
        save_curves(run.rows(), f"{run.path.name}: {data.label}, {recipe.network.name}, {what}", run.path)
    console.line(f"run directory: {run.path}\nall of it as one page: bntt report {quote(str(run.path))}")


def _describe(recipe: Recipe) -> str:
    """Describe a recipe's network and training briefly."""
    from bntt.runs.recipe.build import facts_of

    network, settings = recipe.network, recipe.train
    kind = "as an ANN" if facts_of(recipe).is_ann else f"with {network.norm}, T={network.num_steps}"
    epochs = "1 epoch" if settings.epochs == 1 else f"{settings.epochs} epochs"
    trained = f"{epochs} of batches of {settings.batch_size}" if settings.epochs else "not trained"
    begun = f", from the ANN {recipe.convert.ann}" if recipe.convert.ann else ""
    return f"{network.name} x{network.width:g} {kind}{begun}, {trained}"


def _measure(recipe: Recipe, data: RecipeData, run: RunDirectory, processes: Processes) -> None:
    """Measure a run, show the results, and only then write them: a full disk does not lose them."""
    from bntt.analysis.accuracy import EVALUATE, EvaluateArguments
    from bntt.analysis.measurement import Progress
    from bntt.runs.evaluation import evaluate_run
    from bntt.runs.measure import save_result

    with console.progress("measuring") as report:
        result = evaluate_run(recipe, data, run, processes=processes, progress=Progress(report))
    if not processes.is_rank0:
        return
    arguments = EvaluateArguments()
    console.section(result.title, result.section())
    written = save_result(EVALUATE, result.model_copy(update={"arguments": arguments}), arguments, run.path)
    console.line(f"written: {', '.join(map(str, written))}")
