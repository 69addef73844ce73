"""examples/early_exit.ipynb, from its tutorial."""

from pages.notebook import notebook


def page() -> str:
    """Return the whole notebook."""
    return notebook("early-exit")
