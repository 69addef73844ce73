"""Kernels for machines that are not here: compiled for them, and run where an emulator can."""
