"""A study: its grammar, its checks and its file."""
