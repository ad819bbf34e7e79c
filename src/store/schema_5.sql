-- What is told to whom: channels that refuse, and what forges show of commits.

-- Channels of [notify.NAME] whose last message was not heard.
CREATE TABLE channels (
    name          TEXT PRIMARY KEY,
    failing_since INTEGER NOT NULL,
    reason        TEXT NOT NULL
) WITHOUT ROWID;

-- What a forge is to show of a commit, and what it was told last. A row is one thing at the forge; only its newest state is sent.
CREATE TABLE reports (
    repo       TEXT NOT NULL,
    target     TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    kind       TEXT NOT NULL,           -- status, deployment
    wanted     TEXT NOT NULL,           -- JSON
    told       TEXT,                    -- JSON; none as long as the forge knows nothing
    remote_id  INTEGER,                 -- number of a deployment at the forge
    attempt    INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,
    refused    TEXT,                    -- why the forge will not take `wanted`
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (repo, target, commit_id, kind)
) WITHOUT ROWID;
CREATE INDEX reports_untold ON reports (not_before) WHERE told IS NOT wanted AND refused IS NULL;
