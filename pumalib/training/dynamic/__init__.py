"""One module a way to leave rows out of single epochs."""
