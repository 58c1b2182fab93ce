"""Where people's (or simulated labelers') rankings come from. Knows the torch-free part of `models` and no flows."""
