"""The report: runs and studies as one HTML page that needs nothing else, from their results alone.

``run`` and ``study`` read what a directory holds, ``page`` says which directories there are, and writes. Weights and
data are never opened.
"""
