"""What goes over the wire, as types: OpenAPI is made from these."""
