"""Evidence: which files of runs are kept behind a result, packed, and taken in from another machine."""
