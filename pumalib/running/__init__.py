"""One run of Snakemake, and what is shown of it. Nothing else in the library knows Snakemake."""
