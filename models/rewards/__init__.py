"""Each kind of reward: how it is trained, how it scores."""
