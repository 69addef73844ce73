"""How Sphinx makes the site: ``make docs``. Nothing is fetched while it is made; notebooks run once and are kept."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "docs")]

from extension.names import PEERS  # noqa: E402  (found by the line above)

project = "bntt"
author = "The bntt developers"
copyright = "The bntt developers, MIT licence"
release = version = re.search(r'__version__ = "(.+)"', (ROOT / "src/bntt/version.py").read_text(encoding="utf-8"))[1]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "extension.links",
    "extension.made",
    "extension.api",
    "extension.formulas",
    "extension.folding",
]
exclude_patterns = ["pages", "extension", "develop", "**/__pycache__"]
nitpicky = True

autodoc_mock_imports = list(PEERS)
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
autodoc_type_aliases = {"Loader": "Loader"}
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"
python_maximum_signature_line_length = 100

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # an included page begins with its own headings

nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / ".venv" / "executed")
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["extension/static"]
html_css_files = ["site.css"]
html_title = f"bntt {release}"
html_extra_path = ["report.html"]
html_copy_source = False
html_show_sphinx = False
