"""Studies: tables and figures of the paper as data, their runs, numbers and verdicts."""
