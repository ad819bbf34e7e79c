-- Who may use the page and the API, and who did what. Secrets are here as hashes only.

-- user:NAME, token:NAME or uid:NUMBER; none for what nobody asked for: a webhook, a poll.
ALTER TABLE jobs ADD COLUMN asked_by TEXT;

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    who     TEXT NOT NULL,              -- as jobs.asked_by
    act     TEXT NOT NULL,              -- deploy, rollback, log-in …
    object  TEXT NOT NULL,              -- what it was done to: repo/target, a delivery, the name of a token
    address TEXT,                       -- where the request came from; none for the control socket
    result  TEXT                        -- what came of it; none if the daemon ended before that was known
);

CREATE TABLE tokens (
    name       TEXT PRIMARY KEY,
    scope      TEXT NOT NULL,           -- view, deploy:PATTERN
    hash       TEXT NOT NULL,           -- SHA-256 of the token, hexadecimal
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL            -- as jobs.asked_by
) WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);

CREATE TABLE sessions (
    hash       TEXT PRIMARY KEY,        -- SHA-256 of the cookie, hexadecimal
    user       TEXT NOT NULL,
    password   TEXT NOT NULL,           -- SHA-256 of the stored password hash at log-in: a new password ends the session
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);
