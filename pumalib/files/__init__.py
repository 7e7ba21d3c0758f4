"""Files on disk: whole or not at all, typed, versioned, and traced to what made them."""
