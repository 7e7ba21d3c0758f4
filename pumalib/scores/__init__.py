"""Scores: one number a row that ranks hardness."""
