"""The forms that it is written in, a module each."""
