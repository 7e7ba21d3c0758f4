"""Results: the tidy table of a study."""
