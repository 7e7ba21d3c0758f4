"""One module a report kind: its table, its figure and its page."""
