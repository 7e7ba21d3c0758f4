"""Programs that are told of each epoch of a training while it runs, such as TensorBoard; no part of any result."""
