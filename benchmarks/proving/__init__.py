"""Small worlds with a log and a known optimum, each of which catches one way of being wrong.

A world is a `Team`, an environment of at most 60 lines, with scripted players that see what its
agents see; `worlds.WORLDS` has them by name, `world.write` writes a log as a user would import it.
"""
