"""One module a way to make a synthetic set."""
