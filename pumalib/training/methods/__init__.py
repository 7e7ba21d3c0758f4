"""One module a training method: the loss of a batch."""
