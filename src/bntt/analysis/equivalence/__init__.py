"""The paper's equivalence of BNTT and a threshold that varies with time."""
