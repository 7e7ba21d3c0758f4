"""Several studies held against each other: their results, their settings and where they come from."""
