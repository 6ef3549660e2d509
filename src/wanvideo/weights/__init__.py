"""Which models there are, where their files lie, and how files become tensors. Import the modules, not this package."""
