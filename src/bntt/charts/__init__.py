"""Charts as records, drawn twice: into files (PNG, PDF, SVG) and into the page. A leaf: it opens no other room but io."""
