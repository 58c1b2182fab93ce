"""PPO on score - beta * KL."""
