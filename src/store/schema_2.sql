-- CI checks, and the jobs that wait for them.

-- What CI said of a commit. `seq` grows with every change, so that nothing that is said meanwhile is overlooked.
CREATE TABLE checks (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    repo      TEXT NOT NULL,
    commit_id TEXT NOT NULL,
    name      TEXT NOT NULL,
    state     TEXT NOT NULL,            -- pending, red, green
    at        INTEGER NOT NULL,
    UNIQUE (repo, commit_id, name)
);
CREATE INDEX checks_by_repo ON checks (repo, seq);

-- The commit whose checks a job waits for, and since when.
ALTER TABLE jobs ADD COLUMN held_commit TEXT;
ALTER TABLE jobs ADD COLUMN held_since INTEGER;

-- A deployment goes on where it is when its job waited for checks.
CREATE INDEX deployments_open ON deployments (job) WHERE outcome IS NULL;
