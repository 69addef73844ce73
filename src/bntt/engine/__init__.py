"""Fast execution of networks: the same numbers as :mod:`bntt.ops`, faster and in less memory."""
