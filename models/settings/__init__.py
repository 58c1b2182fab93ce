"""The settings tree: what a person may choose, with bounds and texts. Loads no torch."""
