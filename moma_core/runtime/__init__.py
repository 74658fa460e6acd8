"""A process of ours: its command line, its run directory, its signals, where its numbers go."""
