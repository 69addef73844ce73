"""Lead links to files of the repository to the pages of the site that include these files."""

from __future__ import annotations

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
PAGE_OF = {
    "README.md": "index",
    "PAPER.md": "ideas/paper",
    **{f"quality/{name}.md": f"evidence/{name}" for name in ("robustness", "peers", "parity")},
}
"""The page that includes a file."""


def file_of(target: str, page: str) -> str | None:
    """Say which file a link means, seen from its page, or from the root where the page includes a file of it."""
    for folder in ((ROOT / "docs" / page).parent, ROOT):
        for ending in ("", ".md"):
            path = Path(os.path.normpath(folder / (target + ending)))
            if path.exists() and path.is_relative_to(ROOT):
                return path.relative_to(ROOT).as_posix()
    return None


def lead(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links to included files towards their pages; what is no page stays as words."""
    page = app.env.docname
    for node in list(doctree.findall(addnodes.pending_xref)):
        target = node["reftarget"]
        if node.get("reftype") != "myst" or (node.get("refdomain") == "doc" and target in app.env.found_docs):
            continue
        file = file_of(target, page) if target else None
        if file in PAGE_OF:
            node["refdomain"], node["reftarget"], node["reftargetid"] = "doc", PAGE_OF[file], None
        elif file and not file.endswith(".md"):
            node.replace_self(nodes.literal(file, file))


def setup(app: Sphinx) -> dict[str, bool]:
    """Add it to a site."""
    app.connect("doctree-read", lead)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
