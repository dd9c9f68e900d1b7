"""The tables of API keys, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table

from serve_app.ingress.sql.database import SchemaLayout

VERSION = 1
"""Version of these tables, which the database stores. A later version must say how it migrates."""

Number = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

schema = Table(
    "api_key_schema",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("revision", Number, nullable=False, server_default="0"),
)
"""``revision`` counts the changes of keys."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("caller", String(64), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("families", String(4096), nullable=False),
    Column("requests_per_minute", Number),
    Column("tokens_per_minute", Number),
    Column("weight", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("revision", Number, nullable=False),
    Index("api_keys_revision", "revision"),
    Index("api_keys_name", "name"),
)
"""A row for each key. Those of one name are the same holder's: an earlier one ended, or ends soon.

``hash`` is the key's SHA-256. ``caller`` is that of the holder's first key. Scopes and families are
separated by commas; no families are all. ``revision`` is the change that made the row what it is.
"""

use = Table(
    "api_key_use",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("requests", Number, nullable=False),
    Column("tokens", Number, nullable=False),
    Column("used", Float, nullable=False),
    Column("minute", Number, nullable=False),
    Column("minute_requests", Number, nullable=False),
    Column("minute_tokens", Number, nullable=False),
)
"""What the keys of a name have used in all, and when last; some seconds late.

``minute`` is the last one that had use, since 1970; its use is what limits go by.
"""

LAYOUT = SchemaLayout("API keys", metadata, schema, VERSION)
