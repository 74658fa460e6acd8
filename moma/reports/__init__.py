"""Pages and files for people: what a log is, what came of a run."""
