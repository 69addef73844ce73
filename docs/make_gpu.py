"""Write docs/gpu.md: the text of docs/gpu-head.md and the table that the interpreter gives.

    TRITON_INTERPRET=1 python docs/make_gpu.py      # on a GPU, without TRITON_INTERPRET, the same table from there
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent

if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    from tests.ops._triton.test_kernels import table

    head = (HERE / "gpu-head.md").read_text("utf-8").rstrip()
    (HERE / "gpu.md").write_text(f"{head}\n\n{table()}\n", "utf-8")
