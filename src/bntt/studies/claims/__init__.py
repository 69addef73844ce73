"""Claims, the rules that decide them, and what a number of starts can decide."""
