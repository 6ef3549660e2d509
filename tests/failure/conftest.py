"""Servers as they are served, and nothing of this computer's settings."""

from tests.server.conftest import _logs_as_served, _nothing_of_this_machine  # noqa: F401
