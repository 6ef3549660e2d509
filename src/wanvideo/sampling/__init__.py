"""The mathematics of sampling: schedules, solvers of the flow, guidance. Pure functions of numbers and tensors."""
