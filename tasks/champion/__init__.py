"""Retraining, promotion, and how all policies stand."""
