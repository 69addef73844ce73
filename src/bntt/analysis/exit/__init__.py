"""Early exit: one for all samples, or one for each sample."""
