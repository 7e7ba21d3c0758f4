"""Attacks: perturbations of images inside a norm ball, and the shortest way to a decision boundary."""
