-- What came in, was wanted, ran and is live. Times are milliseconds since the epoch.

CREATE TABLE deliveries (
    id          INTEGER PRIMARY KEY,
    repo        TEXT NOT NULL,
    delivery    TEXT NOT NULL,          -- the forge's id
    forge       TEXT NOT NULL,
    event       TEXT NOT NULL,          -- in the forge's words
    received_at INTEGER NOT NULL,
    remote_addr TEXT NOT NULL,
    result      TEXT NOT NULL,          -- accepted, ignored, pong, duplicate
    reason      TEXT NOT NULL,
    body_sha256 TEXT NOT NULL,
    headers     TEXT NOT NULL,          -- JSON; those without secrets
    body        BLOB                    -- none for duplicates
);
-- Only the first of its kind has a body: however often it comes again, it is found at once.
CREATE INDEX deliveries_by_id ON deliveries (repo, delivery) WHERE body IS NOT NULL;
CREATE INDEX deliveries_by_body ON deliveries (repo, body_sha256) WHERE body IS NOT NULL;

CREATE TABLE jobs (
    id           INTEGER PRIMARY KEY,
    position     INTEGER NOT NULL,      -- place in the queue: a newer request takes the place of the one it replaces
    repo         TEXT NOT NULL,
    target       TEXT NOT NULL,
    git_ref      TEXT NOT NULL,
    wanted       TEXT,                  -- commit to deploy with queue = "all"; otherwise a hint
    source       TEXT NOT NULL,         -- webhook, poll, deploy, retry, replay, rollback
    delivery_row INTEGER REFERENCES deliveries (id) ON DELETE SET NULL,
    delivery     TEXT,
    event        TEXT,
    pusher       TEXT,
    release      TEXT,                  -- where a rollback goes
    pinned_before TEXT,                 -- what a rollback found pinned; comes back if it fails
    state        TEXT NOT NULL,         -- waiting, running, done
    outcome      TEXT,
    reason       TEXT,
    attempt      INTEGER NOT NULL DEFAULT 0,
    not_before   INTEGER NOT NULL DEFAULT 0,
    requested_at INTEGER NOT NULL
);
-- SQLite uses a partial index only for queries that have its very condition.
CREATE INDEX jobs_waiting ON jobs (repo, target) WHERE state = 'waiting';
CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
CREATE INDEX jobs_by_delivery ON jobs (delivery_row);

CREATE TABLE deployments (
    id               INTEGER PRIMARY KEY,
    job              INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    repo             TEXT NOT NULL,
    target           TEXT NOT NULL,
    git_ref          TEXT NOT NULL,
    commit_id        TEXT,
    subject          TEXT,
    previous_commit  TEXT,
    release          TEXT,
    previous_release TEXT,
    phase            TEXT NOT NULL,
    rolling_back     TEXT,              -- why, once that is decided
    outcome          TEXT,
    reason           TEXT,
    started_at       INTEGER NOT NULL,
    finished_at      INTEGER
);
CREATE INDEX deployments_by_target ON deployments (repo, target, id);
CREATE INDEX deployments_by_job ON deployments (job);

CREATE TABLE phases (
    deployment  INTEGER NOT NULL REFERENCES deployments (id) ON DELETE CASCADE,
    phase       TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER,
    PRIMARY KEY (deployment, phase)
) WITHOUT ROWID;

CREATE TABLE targets (
    repo           TEXT NOT NULL,
    target         TEXT NOT NULL,
    live_commit    TEXT,
    live_ref       TEXT,
    live_release   TEXT,
    live_since     INTEGER,
    paused         INTEGER NOT NULL DEFAULT 0,
    pinned         TEXT,                -- release that a person rolled back to
    PRIMARY KEY (repo, target)
) WITHOUT ROWID;

-- The last tip of each ref that a deployment dealt with, whatever came of it; a poll starts nothing for these.
CREATE TABLE tips (
    repo      TEXT NOT NULL,
    target    TEXT NOT NULL,
    git_ref   TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    outcome   TEXT NOT NULL,
    PRIMARY KEY (repo, target, git_ref)
) WITHOUT ROWID;

CREATE TABLE releases (
    repo       TEXT NOT NULL,
    target     TEXT NOT NULL,
    name       TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    git_ref    TEXT NOT NULL,
    deployment INTEGER NOT NULL,
    state      TEXT NOT NULL,           -- building, good, failed
    created_at INTEGER NOT NULL,
    PRIMARY KEY (repo, target, name)
) WITHOUT ROWID;

CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY,
    channel    TEXT NOT NULL,
    body       TEXT NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL
);

CREATE TABLE health (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    at      INTEGER NOT NULL
);
