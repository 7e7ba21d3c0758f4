"""Scores: one number per row that ranks hardness."""
