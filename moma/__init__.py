"""The only place that knows all roles: command line, processes, evaluation, reports."""
