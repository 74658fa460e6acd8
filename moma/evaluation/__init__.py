"""What a policy is worth: measured in an environment, or estimated by the model and marked so."""
