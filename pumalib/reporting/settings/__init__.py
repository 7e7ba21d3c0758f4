"""The settings of a report: a module a kind, which names what the report reads and checks it against the study."""
