"""The tables of conversations, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import VARCHAR
from sqlalchemy.types import TypeDecorator

from serve_app.ingress.sql.database import SchemaLayout

VERSION = 1
"""Version of these tables, which the database stores. A later version must say how it migrates."""


class MessageText(TypeDecorator[str]):
    """Text of a message. PostgreSQL cannot store NUL, which is replaced by U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\x00", "�")


Number = BigInteger().with_variant(Integer, "sqlite")
UserId = String(256).with_variant(VARCHAR(256, collation="C"), "postgresql")
"""Ordered by code points on both databases, so that a page continues where the last one ended."""

metadata = MetaData()

schema = Table(
    "conversation_schema",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", Number, primary_key=True),
    Column("caller", String(64), nullable=False),
    Column("user_id", UserId, nullable=False),
    Column("model", String(200)),
    Column("updated", Float, nullable=False),
    UniqueConstraint("caller", "user_id"),
    Index("conversations_updated", "updated"),
)
"""One row for each user of a caller. ``model`` answers messages that name no model; ``None`` is the
default model."""

turns = Table(
    "conversation_turns",
    metadata,
    Column("id", Number, primary_key=True),
    Column(
        "conversation", Number, ForeignKey(conversations.c.id, ondelete="CASCADE"), nullable=False
    ),
    Column("user_text", MessageText, nullable=False),
    Column("assistant_text", MessageText, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Index("conversation_turns_in_order", "conversation", "id"),
)
"""A message and its answer, in the order of ``id``. ``bytes`` is the UTF-8 of both."""

leases = Table(
    "conversation_leases",
    metadata,
    Column("caller", String(64), primary_key=True),
    Column("user_id", UserId, primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("expires", Float, nullable=False),
    Index("conversation_leases_expires", "expires"),
)
"""The request that is answering a message of a conversation, and when its lease expires."""

LAYOUT = SchemaLayout("conversations", metadata, schema, VERSION)
