"""Which prompts to label next: `python -m benchmarks.active_choice`."""
