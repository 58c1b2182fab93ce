"""What every training loop shares: the loop, the optimizer, checkpoints, memory; and causal language modelling."""
