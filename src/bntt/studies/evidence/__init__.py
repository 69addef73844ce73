"""Evidence: which files of runs are kept for a result, how they are packed, and merged from another machine."""
