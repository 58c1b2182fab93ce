"""Without a value model: a completion is held against others of the same prompt."""
