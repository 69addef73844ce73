"""Write docs/gpu.md: the text of docs/gpu-head.md and the table that the interpreter gives.

TRITON_INTERPRET=1 python docs/make_gpu.py      # on a GPU, without TRITON_INTERPRET, the same table from there
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent


def page(table: str) -> str:
    """The whole of gpu.md."""
    head = (HERE / "gpu-head.md").read_text("utf-8").rstrip()
    return f"{head}\n\n{table}\n"


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from tests.ops._triton.test_kernels import table

    (HERE / "gpu.md").write_text(page(table()), "utf-8")
