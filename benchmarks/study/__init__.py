"""Suites of runs for `moma study`, the logs that some of them need, and untrained policies."""
