"""What networks compute in one pass over memory: each in PyTorch, which is right everywhere, and as a GPU kernel."""
