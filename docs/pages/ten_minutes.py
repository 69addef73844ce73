"""examples/bntt_in_ten_minutes.ipynb, from its tutorial."""

from pages.notebook import notebook


def page() -> str:
    """Return the whole notebook."""
    return notebook("ten-minutes")
