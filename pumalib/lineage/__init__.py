"""Lineage: what a file says about itself, where it stands in a study's results, and what it was made from."""
