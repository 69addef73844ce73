"""Files of every format that a user may bring, changed at random: they are read, or refused in words, and no more.

    python -m tests.hostile --inputs 1000000                    # of every format its share
    python -m tests.hostile --inputs 50000 --format png --seed 3
    python -m tests.hostile --format png --seed 3 --first 41207 --inputs 1      # one input again

A reader may give what it read, or raise the error that its format has for a file that is none. Anything else is a
finding: another error, code that runs, a process or a socket that is opened, a write outside the folder, more memory
or more time than there is reason for, a process that ends. Each is told with the command that makes it anew.
"""
