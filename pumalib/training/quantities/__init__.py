"""One module a quantity that is gathered during training: a number for each row of a batch."""
