"""What goes wrong, in one suite: ``python -m tests.robustness [faults|files|stops|kills|promises]``; all by default.

``faults``    what a user does wrong: a table of what is done, the exit code and the part that the message names
``files``     files of every format changed at random: read or refused in words, and no more
``stops``     every signal and failure at every place of a run, which goes on and ends with the same bits
``kills``     SIGKILL at random in a run that keeps itself every second
``promises``  what the project promises, measured; quality/robustness.json keeps it, quality/robustness.md shows it

A subject is a file: what it does to the library, and the promises that it measures. Subjects share ``user``,
``processes``, ``watch`` and ``promise``, and import no other subject.
"""
