"""What happens, told to everyone who is connected, as it happens."""
