"""Data: datasets, pools, and the batches drawn from them."""
