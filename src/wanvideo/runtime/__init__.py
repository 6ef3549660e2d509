"""How the networks run on the machine that there is: in tiles where memory is short, and quickly on the CPU."""
