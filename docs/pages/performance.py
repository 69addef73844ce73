"""docs/evidence/performance.md, from the kept reports of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator

from bntt.charts.records import Figure
from pages.kept import RUNS, TEXTS, introduction, read_json, spread
from pages.kept import table as as_table
from pages.speed_charts import accuracy_figure, speed_figure


def facts(name: str, report: dict) -> str:
    """Say on which machine and with which versions a report was measured."""
    environment = report["environment"]
    versions = ", ".join(f"{package} {number}" for package, number in report["versions"].items() if package != "bntt")
    return (
        f"`{name}`: {environment['processor']}, {report['threads']} threads, commit `{environment['commit']}`, "
        f"{environment['started'][:10]}; {versions}."
    )


def firing(row: dict) -> str:
    """Return the mean share of neurons that fire at a step."""
    rates = row["firing_rate"].values()
    return f"{sum(rates) / len(rates):.0%}"


def setting(row: dict) -> str:
    """Return the name of a case, with T if the name lacks it, and with its batch."""
    case = row["case"]
    steps = "" if "steps" in case["name"] or "T=" in case["name"] else f", T = {case['num_steps']}"
    return f"{case['name']}{steps}, batch {case['batch']}"


def cell(timing: dict) -> str:
    """Return seconds, speed and memory of a variant."""
    speed = "" if timing["variant"] == "loop" else f" ({timing['speed']:.2f}x)"
    memory = "" if timing["variant"] == "dense limit" else f", {timing['peak_over_base'] / 2**20:,.0f} MiB"
    return f"{timing['median']:.3g} s{speed}{memory}"


def compared(name: str, report: dict) -> list[str]:
    """Tabulate the cases of a report: for each variant its time, its speed against the loop, and its memory."""
    variants = list(dict.fromkeys(timing["variant"] for row in report["cases"] for timing in row["timings"]))
    rows = []
    for row in report["cases"]:
        timings = {timing["variant"]: cell(timing) for timing in row["timings"]}
        rows.append([setting(row), firing(row), *(timings.get(variant, "-") for variant in variants)])
    return [facts(name, report), "", *as_table(("case", "neurons that fire", *variants), rows)]


GLANCE = ("loop", "spikingjelly unbind", "snntorch", "fused")


def glance(report: dict) -> list[str]:
    """Tabulate the standard comparison in few columns: the loop, the better form of each peer, and bntt."""
    rows = []
    for row in report["cases"]:
        timings = {timing["variant"]: timing for timing in row["timings"]}
        cells = [
            f"{timings[name]['median']:.2f} s, {timings[name]['peak_over_base'] / 2**20:,.0f} MiB" for name in GLANCE
        ]
        rows.append([setting(row), firing(row), *cells, f"**{timings['fused']['speed']:.1f}x**"])
    heads = (
        "",
        "neurons that fire",
        "loop",
        "SpikingJelly, list of norms",
        "snnTorch",
        "bntt",
        "bntt against the loop",
    )
    return as_table(heads, rows)


DEPLOYED = TEXTS / "deploy.json"
"""The report of ``python -m benchmarks --cases deploy``."""
DEPLOYED_NETWORKS = ("fashion-mnist-vgg6", "fashion-mnist-direct")
WAYS = ("pytorch", "fused", "onnx", "runtime", "runtime int8")


def deployed() -> list[str]:
    """Tabulate the trained networks, run in every way."""
    found = read_json(DEPLOYED)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    environment = found["environment"]
    made = f"{environment['processor']}, one thread, commit `{environment['commit']}`, {environment['started'][:10]}"
    told = "Columns: milliseconds for all steps of N samples; memory: resident, one sample step by step."
    lines = [f"{made}; {versions}. {told}", ""]
    for one in (one for one in found["networks"] if one["network"] in DEPLOYED_NETWORKS):
        ways = {(way["variant"], way["batch"]): way for way in one["ways"]}
        rows = []
        for name in WAYS:
            whole, step = ways[name, 1], ways[f"{name} step", 1]
            times = (whole, step, ways[name, 64], ways[f"{name} step", 64])
            rows.append(
                [
                    name,
                    *(f"{1e3 * way['median']:.3g}" for way in times),
                    f"{step['resident'] / 2**20:,.0f} MiB",
                    f"{whole['file'] / 1e3:,.0f} kB",
                    *(f"{min(way[share] for way in times):.1%}" for share in ("within", "same_class")),
                ]
            )
        heads = (
            "",
            "1, whole",
            "1, stepped",
            "64, whole",
            "64, stepped",
            "memory",
            "file",
            "within 1e-4",
            "same class",
        )
        lines += [f"**{one['network']}**, T = {one['num_steps']}:", "", *as_table(heads, rows), ""]
    needs = [[way, ", ".join(sizes), f"{sum(sizes.values()) / 1e6:,.0f} MB"] for way, sizes in found["disk"].items()]
    return [*lines, *as_table(("", "needs, besides our own code", "on disk"), needs), ""]


ACCURACY = TEXTS / "accuracy.json"
"""The report of ``python -m benchmarks --cases accuracy``."""


def to_accuracy() -> list[str]:
    """Tabulate how long each variant trained until it reached the target, with the spread over starts."""
    found = read_json(ACCURACY)
    lines = [facts("accuracy", found), ""]
    for case in found["cases"]:
        race, rows = case["race"], []
        ours = case["to_target"]["fused"]["mean_seconds"]
        for name, row in case["to_target"].items():
            updates = [point[-1] for one in case["trainings"] if one["variant"] == name and (point := one["points"])]
            each = sum(last["seconds"] for last in updates) / sum(last["updates"] for last in updates)
            met = row["seconds"]
            rows.append(
                [
                    name,
                    f"{row['reached']} of {row['starts']}",
                    spread([seconds / 60 for seconds in met], ".1f") if met else "-",
                    f"{row['mean_seconds'] / ours:.2f}" if met else "-",
                    ", ".join(f"{number:,}" for number in row["updates"]) or "-",
                    f"{1e3 * each:.0f} ms",
                ]
            )
        heads = (f"{race['target']:.0%} of held-out images", "seeds", "minutes", "times ours", "updates", "an update")
        told = f"T = {race['num_steps']}, batch {race['batch']}, {race['epochs']} epochs at most"
        lines += [f"**{race['name']}**: {told}, {', '.join(race['augment'])}.", "", *as_table(heads, rows), ""]
    return [*lines, "![accuracy against minutes of training](../pictures/bench-accuracy.svg)"]


def reports() -> dict[str, dict]:
    """Read every report, by its name."""
    return {path.stem: read_json(path) for path in sorted((RUNS / "bench").glob("*.json"))}


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    for name, report in reports().items():
        yield f"bench-{name}.svg", speed_figure(report)
    yield "bench-accuracy.svg", accuracy_figure(read_json(ACCURACY))


def page() -> str:
    """Make the whole page: the hand-written text, with each line ``{name}`` replaced by a measurement."""
    measured = reports()
    parts = {
        "standard": compared("standard", measured["standard"]),
        "glance": glance(measured["standard"]),
        "accuracy": to_accuracy(),
        "deploy": deployed(),
    }
    text = introduction("performance") + "\n"
    for name, lines in parts.items():
        before, place, after = text.partition(f"\n{{{name}}}\n")
        if not place:
            raise ValueError(f"docs/pages/performance.md has no line {{{name}}}: the measurement would not be shown")
        text = "\n".join((before, "\n".join(lines).rstrip(), after))
    return text.rstrip() + "\n"
