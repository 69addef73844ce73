"""The scans for GPUs, in Triton. Written and checked in Triton's interpreter; never run on a GPU by its authors."""
