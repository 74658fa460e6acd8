"""The page of a run, or of several beside each other: `moma report`."""
