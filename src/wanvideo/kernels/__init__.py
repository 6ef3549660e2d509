"""Arithmetic that pays to be written by hand: each function in PyTorch and, for NVIDIA GPUs, as a Triton kernel."""
