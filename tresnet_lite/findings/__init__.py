"""Records and printed numbers → data frames: the tables, figures, curves and sizes.

Numbers carry one of these labels: measured (device, date, commit), counted (package version),
quoted (source), not attempted (why). Nothing is measured here.
"""
