"""Tables and figures of a study, made from its results, score tables and distances only."""
