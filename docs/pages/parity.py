"""quality/parity.md, from quality/parity.json: every combination that can be exported, and those that are refused."""

from __future__ import annotations

from bntt.io.files import write_json
from pages.kept import ROOT, introduction, read_json, table

MEASURED = ROOT / "quality" / "parity.json"
TITLES = {
    "float64": "The runtime in float64",
    "float32": "The runtime in float32, by the kernels",
    "onnx": "ONNX Runtime, all steps in one graph",
}


def measure() -> None:
    """Measure every combination and write the results; takes a few minutes."""
    import torch

    from bntt.runs.environment import environment
    from tests.deploy.matrix import measured

    torch.set_num_threads(1)
    where = environment()
    write_json(MEASURED, {name: where[name] for name in ("commit", "processor")} | measured())


def page() -> str:
    """Make the whole of parity.md."""
    found = read_json(MEASURED)
    rows = {(row["model"], row["norm"]): row for row in found["rows"]}
    models, norms = (list(dict.fromkeys(row[key] for row in found["rows"])) for key in ("model", "norm"))
    taken = [norm for norm in norms if not any(rows[model, norm]["refused"] for model in models)]
    later = "".join(f"; {model} at `{commit}`" for model, commit in found.get("later", {}).items())
    every, spoke = (sum(row[key] for row in found["rows"] if not row["refused"]) for key in ("cases", "spoke"))
    lines = [
        introduction("parity"),
        "",
        f"{every:,} combinations are exported; in {spoke:,} of them the logits differ between samples ({found['samples']} samples, "
        f"T = {' or '.join(map(str, found['steps']))}: neurons that fire before they integrate delay the input). Commit `{found['commit']}`{later}, {found['processor']}, one thread.",
    ]
    for target, title in TITLES.items():
        cells = [[norm, *(_cell(rows[model, norm][target]) for model in models)] for norm in taken]
        same = {cell for row in cells for cell in row[1:]}
        shown = [f"{same.pop()} in every combination."] if len(same) == 1 else table(("norm", *models), cells)
        lines += ["", f"## {title}", "", *shown]
    refused: dict[tuple[str, ...], list[dict]] = {}
    for row in found["rows"]:
        if row["refused"]:
            refused.setdefault((row["norm"], *row["refused"]), []).append(row)
    told = [
        [norm, ", ".join(row["model"] for row in those), str(sum(row["cases"] for row in those)), "; ".join(sentences)]
        for (norm, *sentences), those in refused.items()
    ]
    lines += ["", "## Refused", "", *table(("norm", "models", "combinations", "message"), told)]
    return "\n".join(lines) + "\n"


def _cell(distances: dict[str, float]) -> str:
    largest, ties = distances["largest"], int(distances["ties"])
    return (f"{largest:.0e}" if largest else "0") + (f", {ties} tie{'s' * (ties > 1)}" if ties else "")
