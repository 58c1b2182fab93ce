"""What was made from what, and who is behind it."""
