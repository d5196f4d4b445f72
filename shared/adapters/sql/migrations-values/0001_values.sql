-- Copies that may be lost: see souk_core::key_value.
CREATE TABLE value (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL,
    -- Milliseconds since 1970.
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX value_expires ON value (expires_at);
