"""Conversations: histories in a database, in which one message at a time is answered."""

from serve_app.ingress.conversations.conversations import Conversations
from serve_app.ingress.conversations.history import Conversation, Turn
from serve_app.ingress.conversations.lease import Lease

__all__ = ["Conversation", "Conversations", "Lease", "Turn"]
