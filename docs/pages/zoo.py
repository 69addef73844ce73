"""docs/reference/zoo.md, from the facts in the package about its trained networks."""

from __future__ import annotations

from bntt.cli.report import PRETRAINED_HEADS, pretrained_row
from bntt.models import PRETRAINED, pretrained_facts
from pages.kept import introduction, table

HEADS = (
    "name",
    "weights stored in",
    "test accuracy in float32, float16",
    "epoch kept",
    "seed, commit",
    "trained on",
    "minutes",
)


def page() -> str:
    """Make the whole of zoo.md."""
    rows = [list(pretrained_row(name)) for name in PRETRAINED]
    trained = [_trained(name) for name in PRETRAINED]
    size = sum(pretrained_facts(name).stored["bytes"] for name in PRETRAINED)
    parts = [
        introduction("zoo"),
        "",
        *table(PRETRAINED_HEADS, rows),
        "",
        f"All together: {size / 1e6:.2f} MB.",
        "",
        "## How they were trained",
        "",
        *table(HEADS, trained),
    ]
    return "\n".join(parts) + "\n"


def _trained(name: str) -> list[str]:
    facts = pretrained_facts(name)
    run, accuracy = facts.run, facts.stored["accuracy"]
    return [
        name,
        facts.stored["dtype"],
        ", ".join(f"{100 * accuracy[dtype]:.2f} %" for dtype in ("float32", "float16") if dtype in accuracy),
        str(facts.epoch),
        f"{facts.seed}, {run['commit']}",
        f"{run['processor']}, {run['threads']} thread{'s' * (run['threads'] > 1)}",
        f"{run['seconds'] / 60:.0f}",
    ]
