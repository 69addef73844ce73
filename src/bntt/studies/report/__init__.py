"""The report: runs and studies as one HTML page that needs nothing else, from their results alone.

``find`` says what there is, ``run`` and ``study`` read a directory's results, the files named for a measurement say
what a page shows of it, ``chart`` draws, ``page`` writes. Weights and data are never opened.
"""
