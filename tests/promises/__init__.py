"""What the project promises, asked beside measured: a function measures each promise, and the page is made of that.

    python -m tests.promises                # all but those that take hours
    python -m tests.promises R5 S1          # these alone, the others as they were kept
    python -m tests.promises --long         # with those that take hours
    python -m tests.promises --page         # the page anew, of what was kept

What was measured is kept in quality/promises.json, with the commit, the versions and the processor;
quality/promises.md is made of that. A number is never written by hand, and what was not measured says so.
"""
