"""Many callers of one model: what waits, in which order, in which batches."""
