"""Inspection: what a file of a study holds, in counts, quantiles and single rows, for people and notebooks."""
