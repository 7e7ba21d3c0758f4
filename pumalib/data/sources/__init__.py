"""One module a data source: where the images of a dataset come from."""
