"""How networks run fast: the numbers of :mod:`bntt.ops`, sooner and in less memory."""
