"""Reference: the public names of the library as a page, read off signatures and docstrings."""
