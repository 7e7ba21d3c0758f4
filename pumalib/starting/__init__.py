"""A study to begin with, made from a look at a folder of images."""
