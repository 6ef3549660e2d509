"""LoRA files: what they are called, what they hold, where they lie. Import the modules, not this package."""
