"""The learned model of a team's dynamics: fit it, know its errors, ask it."""
