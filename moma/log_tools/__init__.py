"""Logs before they are learned from: read, check, describe, make, write for others."""
