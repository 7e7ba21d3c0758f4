"""What a selection keeps, written for use outside this project."""
