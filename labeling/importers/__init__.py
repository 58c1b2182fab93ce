"""Feedback from files."""
