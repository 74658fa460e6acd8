"""Small worlds with a log and a known optimum, each of which catches one way of being wrong."""
