"""What gives scores: how several become one, and which functions may."""
