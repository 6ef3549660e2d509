"""How the queue bears a million stored jobs, and a thousand workers."""
