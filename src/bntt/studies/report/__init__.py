"""The report: runs and studies as one self-contained HTML page, from their results only.

``run`` and ``study`` read the content of a directory, ``page`` chooses the directories and writes. Weights and
data are never opened.
"""
