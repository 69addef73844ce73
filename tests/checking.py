"""What checks the annotations of every function of the package while tests run: names of axes, shapes and types."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as type checkers have it
