"""The addresses, a module for each group: parse, call one thing, return a schema."""
