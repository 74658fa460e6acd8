"""How fast this machine does each part of the work, measured by its own matmul rate: `moma bench`.

A section measures one part for one size of world model and returns rows of one table.
"""
