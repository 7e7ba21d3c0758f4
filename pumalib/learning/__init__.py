"""Learned pools: images changed so that natural training on them gives robust models."""
