"""Sampling completions."""
