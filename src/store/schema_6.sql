-- Failures of which nothing newer than the ref is known, not even a commit: they are not tried again at each look at the remote.
CREATE TABLE failures (
    repo       TEXT NOT NULL,
    target     TEXT NOT NULL,
    git_ref    TEXT NOT NULL,
    advertised TEXT,                    -- what the remote had there; none if no look has seen it yet
    reason     TEXT NOT NULL,
    since      INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    retry_at   INTEGER NOT NULL,
    PRIMARY KEY (repo, target, git_ref)
) WITHOUT ROWID;
