"""Imagine: actors act inside a `Dynamics`; nothing here knows how either is trained."""
