"""What comes next, and how sure are we: the learned model of the team's dynamics and its server."""
