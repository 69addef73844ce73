"""A run outside the laboratory: accuracy against bytes and milliseconds, stopped by γ and not."""
