"""Measurements of this project on a machine. Not in the wheel."""
