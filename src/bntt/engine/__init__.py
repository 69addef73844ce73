"""Fast execution of networks: the numbers of :mod:`bntt.ops` up to rounding, faster and in less memory."""
