"""Selections: which rows are kept, and with which epsilon. NumPy only."""
