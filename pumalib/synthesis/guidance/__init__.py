"""Ways to guide a generator by a model while it samples: what is to increase, a file each."""
