"""Batches into Label Studio, and what people said out of it."""
