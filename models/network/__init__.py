"""Tokens, networks and one forward pass over packed sequences."""
