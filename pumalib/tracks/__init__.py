"""What a training gathers about every row: between training and scores."""
