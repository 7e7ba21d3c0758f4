"""Evaluation: attacks on test images, one row an image."""
