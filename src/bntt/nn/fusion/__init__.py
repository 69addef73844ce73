"""What the kernels know of modules: the one place where modules meet the engine."""
