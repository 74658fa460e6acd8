"""A run's policy taken out: a folder per agent that acts without torch and without this package."""
