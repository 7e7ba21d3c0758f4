"""Perceptrons that learn from a teacher: pruning under adversarial training, where every margin is known."""
