"""One module a policy that finds epsilons during training."""
