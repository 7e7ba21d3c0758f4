"""One module a method of learning a pool: from images and labels to other images with the same labels."""
