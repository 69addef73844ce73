"""Out of the laboratory: a trained network as plain data, in a bundle, ONNX or NIR, and run without PyTorch.

Names resolve on first use: what runs a bundle never waits for torch, nor needs it.
"""

from bntt.doors import door

__all__, __getattr__, __dir__ = door(__name__, __file__)
