"""Studies: many runs as a list, one row a run, and what rows of several algorithms come to."""
