"""Translation of modules for the kernels: the one place where modules meet the engine."""
