"""The command `rein`."""
