"""Pages that show the rows of a selection as pictures, in one HTML file that needs no network."""
