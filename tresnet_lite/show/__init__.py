"""What a page shows: tables, plots and drawings, and what a notebook needs around its subject."""
