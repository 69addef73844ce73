"""What checks the annotations of every function of the package while tests run: names of axes, shapes and types."""

import os

from beartype import BeartypeConf, beartype

THREADS = int(os.environ.get("BNTT_TEST_THREADS", "1"))
"""Threads of every test; ``tests.processors`` sets others."""
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it
