"""The students, one module each: `learn(inputs, epsilons, num_rows, settings)` returns a `Learned`."""
