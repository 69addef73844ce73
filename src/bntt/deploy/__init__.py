"""Deployment: a trained network as plain data, written as a bundle, ONNX or NIR, and run without PyTorch.

Names resolve on first use, so that running a bundle neither loads nor needs torch.
"""

from bntt.doors import door

__all__, __getattr__, __dir__ = door(__name__, __file__)
