"""Evaluation: attacks on test images, one row per image."""
