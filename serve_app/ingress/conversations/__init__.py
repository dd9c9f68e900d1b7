"""Conversations: their history in a database, and one message of each at a time."""

from serve_app.ingress.conversations.conversations import Conversations
from serve_app.ingress.conversations.history import Conversation, Turn
from serve_app.ingress.conversations.lease import Lease

__all__ = ["Conversation", "Conversations", "Lease", "Turn"]
