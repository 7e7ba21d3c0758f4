"""One module a rule: `keep` says which rows of a pool stay."""
