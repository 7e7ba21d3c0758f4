"""One module a policy: the epsilons of the rows that it is for."""
