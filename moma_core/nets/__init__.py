"""Networks that several roles run: kernels, stacks of small networks, memories, actors."""
