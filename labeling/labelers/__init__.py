"""Labelers that are no people, each said to be what it is."""
