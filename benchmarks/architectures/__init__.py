"""Which architectures Rein learns, tried on tiny checkpoints with random weights."""
