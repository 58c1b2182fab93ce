"""Worlds with a rule that tells good completions from bad ones, which no model sees."""
