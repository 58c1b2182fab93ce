"""Several processes that train together: what they exchange, and weights in pieces."""
