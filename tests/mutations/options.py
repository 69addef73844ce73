"""Options of a training that no more do what they say."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

OPTIONS = [
    Mutation(
        "a warm-up rises with every epoch",
        "training/schedule.py",
        "return (done + 1) / warm",
        "return (done + 1 if by_step else min(warm, (epoch + 1) * self.updates)) / warm",
        ("tests/training/test_schedule.py",),
    ),
    Mutation(
        "an option that changed has no version",
        "runs/identity.py",
        'return {"train.warmup": 2} if',
        "return {} if",
        ("tests/runs/recipe/test_option_versions.py",),
    ),
    Mutation(
        "a kept run takes the rules of this code",
        "studies/pool.py",
        "_ann_of(recipe, path, evaluation), environment)",
        "_ann_of(recipe, path, evaluation))",
        ("tests/runs/recipe/test_option_versions.py",),
    ),
    Mutation(
        "a run of an old rule is resumed",
        "runs/training/start.py",
        "found.path, resuming=True)",
        "found.path, resuming=False)",
        ("tests/runs/recipe/test_option_versions.py",),
    ),
    Mutation(
        "gradients of what is not stepped add up",
        "training/session.py",
        "self.model.zero_grad(set_to_none=True)",
        "pass",
        ("tests/training/test_fit.py",),
    ),
    Mutation(
        "the norm is over what is not stepped, too",
        "training/session.py",
        "for one in stepped(optimizer)\n        if",
        "for one in names\n        if",
        ("tests/training/test_fit.py",),
    ),
    Mutation(
        "tied weights are not told apart",
        "io/checkpoint.py",
        "if value.numel() and view in views:",
        "if False:",
        ("tests/io/test_tied_weights.py",),
    ),
    Mutation(
        "a counter of few bits runs over",
        "ops/random.py",
        "(counter.to(torch.int64) + 1)",
        "(counter + 1)",
        ("tests/ops/test_index_types.py",),
    ),
    Mutation(
        "validation takes all samples of a class",
        "data/samples.py",
        "most = min(ends.values(), default=0)",
        "most = len(labels) - 1",
        ("tests/data/test_samples.py",),
    ),
    Mutation(
        "one draw has a spread of 0",
        "analysis/accuracy/__init__.py",
        "if len(self.correct) > 1 else None",
        "if len(self.correct) > 1 else 0.0",
        ("tests/analysis/accuracy/test_accuracy.py",),
    ),
]
