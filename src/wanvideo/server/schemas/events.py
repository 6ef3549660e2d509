"""What comes over the socket, and what may be sent to it."""

from typing import Any, Literal

from pydantic import Field

from wanvideo.server.schemas.common import LenientBody, Wire


class SocketFrame(Wire):
    """Every message to a client."""

    type: str
    data: dict[str, Any]
    seq: int = Field(description="Grows, also over restarts; send the last one as `since` when connecting again.")


class TopicBody(LenientBody):
    topic: str = Field(default="", max_length=60)


class SocketCommand(LenientBody):
    """Every message of a client."""

    type: Literal["subscribe", "unsubscribe", "ping", "get_status"]
    data: TopicBody = TopicBody()


class SocketStats(Wire):
    active_connections: int
    subscription_counts: dict[str, int]
    available_topics: list[str]
