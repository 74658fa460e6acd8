"""How fast this machine does each part of the work, by its own matmul rate: `scripts/bench`.

A section measures one part for one size of world model and returns rows of one table.
"""
