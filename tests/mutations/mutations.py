"""The faults that tests must find."""

from __future__ import annotations

from tests.mutations.borders import BORDERS
from tests.mutations.equations import EQUATIONS
from tests.mutations.exports import EXPORTS
from tests.mutations.fused import FUSED
from tests.mutations.graphs import GRAPHS
from tests.mutations.options import OPTIONS
from tests.mutations.states import PROCESSES, STATES

MUTATIONS = [*BORDERS, *EQUATIONS, *EXPORTS, *FUSED, *GRAPHS, *OPTIONS, *PROCESSES, *STATES]
