"""One reward for each person: `python -m benchmarks.personal`."""
