"""The C++ kernels, and their calls."""
