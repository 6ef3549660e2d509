"""The HTTP server: a durable queue in front of the engine. Nothing here imports torch."""
