"""docs/evidence/gpu.md: the errors of the Triton kernels, from the interpreter (TRITON_INTERPRET=1) or from a GPU."""

from __future__ import annotations

from pages.kept import introduction


def page() -> str:
    """Make the whole of gpu.md."""
    from tests.engine.triton.test_kernels import table

    return f"{introduction('gpu')}\n\n{table()}\n"
