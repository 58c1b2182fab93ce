"""Feedback from files and into files."""
