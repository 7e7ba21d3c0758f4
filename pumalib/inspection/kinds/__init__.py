"""One module a kind of file: `describe` says what it holds; `samples`, where it is about rows, reads them."""
