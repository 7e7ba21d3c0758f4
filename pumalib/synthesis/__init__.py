"""Synthetic sets: published files, held-out rows, and a small diffusion model of our own."""
