"""Charts as records, drawn into files (PNG, PDF, SVG) and into the page: two renderers of the same."""
