"""``python -m bntt``."""

from bntt.cli.main import entry

if __name__ == "__main__":
    entry()
