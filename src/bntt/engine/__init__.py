"""Fast execution of networks: the numbers of :mod:`bntt.ops`, sooner and in less memory."""
