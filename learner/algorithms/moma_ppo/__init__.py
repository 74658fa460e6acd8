"""MOMA-PPO: decentralised actors, a centralised critic, clipped updates on imagined segments."""
