"""The paper's equations as pure functions on tensors; PAPER.md says which function is which equation."""
