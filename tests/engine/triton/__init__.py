"""The Triton kernels: on the GPU where there is one, in Triton's interpreter elsewhere (see tests/conftest.py)."""

import pytest
import torch

pytest.importorskip("triton")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
