"""``python -m bntt``."""

import sys

from bntt.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
