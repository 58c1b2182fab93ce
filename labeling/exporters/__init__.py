"""Feedback and what follows from it into files."""
