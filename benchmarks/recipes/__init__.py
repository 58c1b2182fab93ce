"""The same human labels, every recipe: `python -m benchmarks.recipes`."""
