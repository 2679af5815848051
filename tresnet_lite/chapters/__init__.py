"""One module a chapter: the models, tables and drawings that its notebook shows."""
