"""Cases at the borders: what enters a kernel, what a state may trust, what somebody else overrides. On tiny networks.

Every kind is a row of :mod:`tests.fuzz.borders.kinds`: a network, ways of using it, and what is done around the use.
"""
