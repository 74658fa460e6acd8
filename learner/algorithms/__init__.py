"""What may learn: each algorithm behind the one seam of `base`."""
