"""Image classifiers: settings, architectures, construction and weight files."""
