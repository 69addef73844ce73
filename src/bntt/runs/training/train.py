"""One training run: train, validate, keep the best, and stop and resume at any update bit for bit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch

from bntt.analysis import Evaluation, evaluate, health, stepwise_norms
from bntt.data import SampleLoader
from bntt.engine import synapse
from bntt.io.checkpoint import write_checkpoint
from bntt.io.files import write_json_lines, write_whole
from bntt.io.lock import hold_run
from bntt.nn.kinds import step_gamma
from bntt.runs.directory import RunDirectory, restore_thresholds, usable
from bntt.runs.environment import write_environment
from bntt.runs.evaluation import combine_evaluations
from bntt.runs.identity import check_same_network, lasting, rules_facts
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import RecipeData
from bntt.runs.recipe.file import Recipe, dump_recipe
from bntt.runs.training.curves import Write, event_writer
from bntt.runs.training.epoch_log import (
    Notice,
    TrainingRecord,
    describe_jump,
    epoch_result,
    explain_out_of_memory,
    machine_facts,
    no_better_than_chance,
    resume_notices,
    startup_warnings,
    updates_to_forget,
)
from bntt.runs.training.requests import Interrupted, Requests, command_to_resume
from bntt.runs.training.start import build_session, convert_ann, initialise_session, resume_state, run_conversion
from bntt.training.processes import Processes
from bntt.training.session import EpochRecord, Session, StepRecord, check_state


def train_run(
    recipe: Recipe,
    data: RecipeData,
    run: RunDirectory,
    *,
    resume: bool = False,
    device: str = "cpu",
    requests: Requests | None = None,
    forget_best: bool = False,
    processes: Processes | None = None,
) -> Iterator[TrainingRecord]:
    """Train as the recipe says; yield every update, every epoch with its validation accuracy, and notices."""
    if recipe.train.epochs == 0:
        yield from run_conversion(recipe, data, run, device=device, requests=requests)
        return
    processes = Processes() if processes is None else processes
    with hold_run(run.path) if processes.is_rank0 else nullcontext():
        if processes.is_rank0:
            run.checkpoints.tidy()
        session, share = build_session(recipe, data, processes, device), (processes.rank, processes.count)
        held_out = SampleLoader(data.validation, recipe.evaluate.batch_size, device=device, share=share)
        training = TrainingRun(session, held_out, recipe, data, run, device)
        training.requests = requests or training.requests
        yield from training.resume_or_start(resume=resume, forget_best=forget_best)
        if recipe.convert.ann and not resume:
            found = yield from convert_ann(recipe, data, session.model, training.requests.stop_conversion)
            training.keep_initial_facts({"conversion": found.model_dump(mode="json")}, run.recipe)
        elif recipe.init.source and not resume:
            training.extra_facts["init"] = yield from initialise_session(recipe, data, session)
        yield from training.train()


class TrainingRun:
    """A run in progress."""

    def __init__(
        self,
        session: Session,
        held_out: SampleLoader | None,
        recipe: Recipe,
        data: RecipeData,
        run: RunDirectory,
        device: str = "cpu",
        extra_facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.session, self.held_out, self.processes = session, held_out, session.processes
        self.recipe, self.data, self.run, self.device, self.requests = recipe, data, run, device, Requests()
        self.recipe_text, self.rules = dump_recipe(recipe), rules_facts(recipe)
        self.epochs_done = 0
        self.best: float | None = None
        self.extra_facts = dict(extra_facts or {})
        self.rows: list[dict[str, Any]] = []
        self.warned: set[tuple[str, str]] = set()
        self.write_events: Write | None = None
        self.began = self.saved = time.monotonic()

    def keep_initial_facts(self, facts: Mapping[str, Any], where: Path) -> None:
        """Store the result of a conversion in the models and in every later checkpoint."""
        self.extra_facts |= {key: facts[key] for key in ("conversion", "init") if key in facts}
        for model in filter(None, (self.session.model, self.session.average)):
            restore_thresholds(model, self.recipe, facts, where)

    def resume_or_start(self, *, resume: bool, forget_best: bool = False) -> Iterator[Notice]:
        """Resume from the directory, or write the recipe; record the environment of this start."""
        recipe, processes = self.recipe, self.processes
        if resume:
            yield from self._resume(forget_best)
        elif processes.is_rank0:
            write_whole(self.run.recipe, self.recipe_text.encode())
        if processes.is_rank0:
            several = {"processes": processes.count} if processes.count > 1 else {}
            facts = {"device": self.device, **several, **self.rules, **parts_facts(recipe), **self.data.facts()}
            write_environment(self.run.path, self.session.position.updates, facts)

    def _resume(self, forget_best: bool) -> Iterator[Notice]:
        """Load the latest checkpoint; yield notices of what has changed."""
        run, session = self.run, self.session
        found, changed, self.best = resume_state(self.recipe, self.data, run, self.processes, forget_best=forget_best)
        facts = found.checkpoint.facts
        for problem in found.skipped:
            yield Notice(f"{problem}; going on from {found.path.name}, the one before")
        if other := check_same_network(self.recipe.network.name, self.extra_facts, facts, found.path):
            yield Notice(other)
        network, kept = session.model.network, facts["compute"]["recompute"]
        if kept != "auto" and not changed.keys() & {"compute.recompute", "compute.backend"}:
            network.compute = replace(network.compute, recompute=kept)
        synapse.remember(facts["compute"]["crossovers"])
        with usable(found.path, "go on as the run began, or start a new one"):
            session.load(found.checkpoint.tensors, facts["session"])
        self.keep_initial_facts(facts, found.path)
        self.epochs_done, self.rows = facts["epochs_done"], facts["lines"]
        self.began = time.monotonic() - facts["seconds"]
        if self.processes.is_rank0:
            write_whole(run.recipe, self.recipe_text.encode())
            if self.rows and not run.kept_rows():
                yield Notice(f"{run.metrics} is missing or damaged: written again from {found.path.name}")
            write_json_lines(run.metrics, self.rows)
        yield from resume_notices(changed, self.recipe, facts, session)

    def train(self) -> Iterator[TrainingRecord]:
        """Train to the end, writing TensorBoard events on the way."""
        session, often = self.session, self.recipe.checkpoint.every_steps
        events = event_writer(self.run.path, self.epochs_done) if self.processes.is_rank0 else nullcontext()
        with events as self.write_events, explain_out_of_memory(self.recipe):
            if session.position.updates == 0:
                yield from startup_warnings(session, cast(SampleLoader, session.loader))
            for record in session.records():
                if isinstance(record, StepRecord):
                    yield record
                    if record.jumped:
                        yield Notice(describe_jump(record))
                    self._handle_requests(due=often is not None and session.position.updates % often == 0)
                elif record.epoch >= self.epochs_done:
                    yield from self._finish_epoch(record)
                    self._handle_requests()

    def _finish_epoch(self, record: EpochRecord) -> Iterator[TrainingRecord]:
        """Validate, save, and yield the results, even if they cannot be written."""
        session, run = self.session, self.run
        check_state(session.model, session.optimizer)
        if session.average is not None:
            check_state(session.average)
        evaluation = self._validate(record.epoch)
        if not self.processes.is_rank0:
            self.epochs_done = record.epoch + 1
            return
        result = epoch_result(record, session, evaluation, self.best, time.monotonic() - self.began)
        problem: OSError | None = None
        try:
            if not run.checkpoints.paths():
                self._save()  # a stopped training never has weights without a checkpoint
            if result.best or self.held_out is None:
                facts: dict[str, Any] = {"epoch": record.epoch, "validation_accuracy": result.validation_accuracy}
                facts |= {"averaged": session.average is not None, "recipe": self.recipe_text, **self.rules}
                write_checkpoint(run.best, session.weights(), facts | lasting(self.extra_facts, session.model))
            self.best = result.validation_accuracy if result.best else self.best
            self.epochs_done, self.rows = record.epoch + 1, [*self.rows, asdict(result)]
            write_json_lines(run.metrics, self.rows)
            if self.write_events:  # before the checkpoint: a repeated epoch is shown once
                norms = stepwise_norms(session.measured.network)
                gammas = {name: step_gamma(norm).abs().cpu() for name, norm in norms.items()}
                self.write_events(record.epoch, asdict(result), gammas)
            self._save()
        except OSError as error:
            problem = error
        yield result
        yield from no_better_than_chance(result, record.samples, len(self.data.train.classes))
        if evaluation is not None and session.position.updates >= updates_to_forget(self.recipe.train.average):
            for found in health(evaluation.activity, session.measured.network):
                if (found.layer, found.kind) not in self.warned:
                    self.warned.add((found.layer, found.kind))
                    yield Notice(f"warning: {found.text}")
        if problem is not None:
            raise problem

    def _validate(self, epoch: int) -> Evaluation | None:
        skipped = (epoch + 1) % self.recipe.evaluate.every and epoch + 1 < self.session.epochs
        if self.held_out is None or skipped:
            return None

        def progress(images: int) -> None:  # a safe point, where there is no new update
            self._handle_requests(by_clock=self.recipe.checkpoint.every_minutes > 0)

        how: dict[str, Any] = {"seed": self.recipe.seed, "draws": 1, "steps": self.session.steps, "part": True}
        own = evaluate(self.session.measured, self.held_out, progress=progress, **how)
        return combine_evaluations(own, len(self.held_out), self.processes)

    def _handle_requests(self, *, due: bool = False, by_clock: bool = True) -> None:
        """Handle requests at a safe point: save what is due, and stop if requested."""
        requests, waited = self.requests, time.monotonic() - self.saved
        due = due or (by_clock and waited >= 60 * self.recipe.checkpoint.every_minutes)
        asked = torch.tensor([requests.stop or 0, due or requests.save])
        stop, save = self.processes.all_reduce_max(asked).tolist()  # a request to one process applies to all
        if save or stop:
            requests.save = False
            self._save()
        if stop:
            command = command_to_resume(self.run.path, self.device, self.processes.count)
            raise Interrupted(stop, f"everything is saved, continue with: {command}")

    def _save(self) -> None:
        self.saved = time.monotonic()
        if not self.processes.is_rank0:
            return
        check_state(self.session.model, self.session.optimizer)
        (tensors, session), network = self.session.state(), self.session.model.network
        facts = {
            "session": session,
            "epochs_done": self.epochs_done,
            "best": self.best,
            "seconds": time.monotonic() - self.began,
            "lines": self.rows,
            "recipe": self.recipe_text,
            **self.rules,
            **lasting(self.extra_facts, self.session.model),
            "machine": machine_facts(self.session),
            "compute": {"recompute": network.compute.recompute, "crossovers": synapse.remembered()},
        }
        self.run.checkpoints.write(self.session.position.updates, tensors, facts, self.recipe.checkpoint.last)
