"""Training: natural and adversarial, with per-row signed epsilons."""
