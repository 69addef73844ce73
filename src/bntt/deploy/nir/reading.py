"""A description from a NIR graph: this library's own, bit for bit, or another framework's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bntt.deploy.description import MOST_VALUES, Description, Encoder
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Layer, Sum
from bntt.deploy.nir.file import read
from bntt.deploy.nir.nodes import Node, connected, feedback, in_order
from bntt.deploy.nir.notes import DT, FACTS, Facts, facts_from
from bntt.deploy.nir.parts import TAKES, Draft, Reading

if TYPE_CHECKING:
    import nir

MOST_NODES = 10_000


def from_nir(
    source: str | Path | nir.NIRGraph, *, encoder: Encoder | None = None, classes: Sequence[str] = (), dt: float = DT
) -> Description:
    """Return a network from a NIR graph: convolutions, linear maps, poolings, IF and LIF neurons, and their sums.

    A graph that :func:`~bntt.deploy.export` wrote gives its description back, bit for bit. Any other graph is one step
    of a network, and ``encoder`` sets the number of steps; the mean of the graph's Output over them is the logits.
    Neurons with a hard reset are LIF and IF; with a soft reset, LI or I, a Threshold and a Scale back. Unsupported
    nodes are refused by name.

    Args:
        source: a file, which is opened in a separate process; or a graph in memory.
        encoder: replaces the graph's; other frameworks' graphs have none: ``Encoder("direct", num_steps=8)``.
        classes: names of the classes; by default the graph's, or their numbers if it has none.
        dt: duration of a step in seconds: λ = 1 - dt / τ.

    Raises:
        BundleError: if the file is missing, damaged, hostile or no NIR graph.
        DeployError: naming an unsupported node, and why; or if no encoder is known.

    >>> import tempfile, bntt
    >>> from bntt import deploy
    >>> path = Path(tempfile.mkdtemp()) / "clothes.nir"
    >>> made = deploy.export(bntt.models.pretrained(), path, "nir")
    >>> deploy.Runtime(from_nir(path)).num_steps
    8
    """
    if not 0 < dt < np.inf:
        raise DeployError(f"dt must be seconds of a step, above 0, got {dt}")
    if not isinstance(source, str | Path):
        return described(source.to_dict(), encoder, tuple(classes), dt)
    graph = read(Path(source))
    try:
        return described(graph, encoder, tuple(classes), dt)
    except DeployError as error:
        raise DeployError(f"{source}: {error}") from None


def described(
    graph: Mapping[str, Any], encoder: Encoder | None = None, classes: tuple[str, ...] = (), dt: float = DT
) -> Description:
    """Describe a graph as ``nir.NIRGraph.to_dict`` has it; see :func:`from_nir`."""
    nodes, notes = connected(graph), graph.get("metadata")
    facts = facts_from(str(notes[FACTS])) if isinstance(notes, Mapping) and FACTS in notes else None
    if encoder is not None:
        facts = Facts(encoder, *(facts[1:] if facts else ((),)))
    if facts is None:
        raise DeployError("the graph does not say how samples become its input: encoder=Encoder('direct', num_steps=8)")
    return _Reading(nodes, facts, dt).description(classes)


class _Reading(Reading):
    def __init__(self, nodes: dict[str, Node], facts: Facts, dt: float) -> None:
        self.nodes, self.facts, self.dt = nodes, facts, dt
        self.steps, self.made = facts.encoder.num_steps, list[Layer | Sum]()
        self.resets, self.drafts = feedback(nodes), dict[str, Draft]()

    def description(self, classes: tuple[str, ...]) -> Description:
        """Return the description."""
        ins, outs = ([node for node in self.nodes.values() if node.type == kind] for kind in ("Input", "Output"))
        if len(ins) != 1 or len(outs) != 1 or len(outs[0].reads) != 1 or len(self.nodes) > MOST_NODES:
            raise DeployError(
                f"the graph has {len(ins)} inputs, {len(outs)} outputs and {len(self.nodes)} nodes: one input, one "
                f"output that one node leads to, and at most {MOST_NODES:,} nodes are needed"
            )
        shape = ins[0].sizes("shape")
        self.facts.encoder.check(shape[0])
        in_order(self.nodes, outs[0].name, self.take)
        beside = {scale.name for scale in self.resets.values()}
        for node in self.nodes.values():
            if node.name not in self.drafts and node.name not in beside and node is not outs[0]:
                raise node.wrong("it leads to no output")
        last = self.closed(outs[0], self.drafts[outs[0].reads[0]])
        count = last.shape[0]
        names = classes or self.facts.classes or tuple(map(str, range(count)))
        pictures, told = self.facts.pictures, dict(self.facts.provenance)
        return Description(tuple(self.made), self.facts.encoder, names, shape, pictures, told)

    def take(self, node: Node) -> None:
        """Take one node, after all the nodes that it reads."""
        if node.type == "Output":
            return
        if node.type == "Input":
            shape = node.sizes("shape")
            draft = Draft(-1, (shape[0], *(shape[1:] or (1, 1))), len(shape) == 1)  # type: ignore[arg-type]
        elif not node.reads:
            raise node.wrong("nothing leads to it")
        else:
            read = [self.drafts[name] for name in node.reads]
            draft = read[0] if len(read) == 1 else self.added(node, read)
            draft = TAKES[node.type](self, node, draft)
        self.drafts[node.name] = draft if len(node.read_by) < 2 else self.closed(node, draft)

    def added(self, node: Node, read: Sequence[Draft]) -> Draft:
        """Add up several nodes, two by two."""
        total, *more = (self.closed(node, draft) for draft in read)
        own = node.layer if node.part == "sum" else f"{node.name}.sum"
        for number, one in enumerate(more):
            name = own if number == len(more) - 1 else f"{own}{number + 1}"
            self.made.append(Sum(name, (total.reads, one.reads)))
            if one.shape != total.shape:
                raise node.wrong(f"it adds up {list(total.shape)} and {list(one.shape)}")
            total = Draft(len(self.made) - 1, total.shape, total.flat)
        return total

    def closed(self, node: Node, draft: Draft) -> Draft:
        if draft.gain != 1:
            raise node.wrong("weights or neurons must follow the SumPool2d before it")
        if draft.is_empty:
            return draft
        if draft.weights is None and draft.neurons is None:
            raise node.wrong("weights or neurons must follow the pooling before it")
        width = draft.shape[0]
        if self.steps * width > MOST_VALUES:
            raise node.wrong(f"{self.steps} steps of {width} channels are more than a network has")
        size = self.steps, width
        scale, shift = (np.array(np.broadcast_to(table, size)) for table in (draft.scale, draft.shift))
        self.made.append(
            Layer(
                draft.name, draft.reads, scale, shift, draft.weights, draft.neurons, draft.before, draft.after,
                draft.gamma, draft.driven,
            )
        )  # fmt: skip
        return Draft(len(self.made) - 1, draft.shape, draft.flat)

    def begun(self, node: Node, draft: Draft) -> Draft:
        if draft.weights is not None or draft.neurons is not None:
            gain, draft = draft.gain, self.closed(node, replace(draft, gain=1.0))
            draft = replace(draft, gain=gain)
        return replace(draft, name=node.layer or node.name)

    def gives_spikes(self, place: int) -> bool:
        if place < 0:
            return self.facts.encoder.kind == "poisson-unsigned"
        node = self.made[place]
        return isinstance(node, Layer) and node.neurons is not None and all(pool.kind == "max" for pool in node.after)
