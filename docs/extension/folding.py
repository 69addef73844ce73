"""What opens on request: an entry of the API behind its first sentence, long tables and verdicts behind the text."""

from __future__ import annotations

from docutils import nodes
from sphinx.addnodes import desc, desc_content
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

TOLD = {"evidence/findings", "evidence/performance"}
"""Pages whose text and pictures say what their long tables and verdicts do, but where a section begins with one."""


class folded(nodes.General, nodes.Element):
    """A part of a page that is closed at first; links to what is in it, and a search of the browser, open it."""


def fold(parent: nodes.Element, first: int, title: str) -> None:
    """Fold the children of a part of a page, but for the first few and for pictures."""
    hidden = [child for child in parent.children[first:] if not any(child.findall(nodes.image))]
    if hidden:
        for child in hidden:
            parent.remove(child)
        parent += folded("", *hidden, title=title)


def on_resolved(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Fold a page that is about to be written."""
    for entry in [one for one in tree.findall(desc) if not isinstance(one.parent, desc_content)]:
        if entry["domain"] == "py" and isinstance(entry[-1], desc_content):
            fold(entry[-1], 1, "arguments, example")
    for table in [one for one in tree.findall(nodes.table) if page in TOLD]:
        box = table.parent if len(table.parent) == 1 else table  # themes put tables in boxes
        (rows,) = table.findall(nodes.tbody)
        verdicts = "verdict" in next(table.findall(nodes.thead)).astext()
        if (verdicts or len(rows) > 12) and box.parent.index(box) > 1:
            hidden = folded("", title=f"{len(rows)} {'verdicts, and why' if verdicts else 'rows'}")
            box.replace_self(hidden)
            hidden += box


def visit(writer: HTML5Translator, node: folded) -> None:
    """Begin it."""
    writer.body.append(f'<details class="folded"><summary>{node["title"]}</summary>\n')


def depart(writer: HTML5Translator, node: folded) -> None:
    """End it."""
    writer.body.append("</details>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to a site."""
    app.add_node(folded, html=(visit, depart))
    app.connect("doctree-resolved", on_resolved)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
