"""Early exit, for all samples alike and for each individually."""
