"""The report: runs and studies as one HTML page that needs nothing else, from their results alone.

``run`` and ``study`` read the content of a directory, ``page`` chooses the directories and writes. Weights and
data are never opened.
"""
