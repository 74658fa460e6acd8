"""Improve: decentralised actors and a centralised critic, trained by PPO on imagined segments."""
