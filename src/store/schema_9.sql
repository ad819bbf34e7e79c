-- Whatever is asked often is found by an index, however long the history is.

CREATE INDEX deployments_by_outcome ON deployments (repo, target, outcome, id);
CREATE INDEX deployments_by_repo ON deployments (repo, id);
CREATE INDEX deployments_by_repo_and_outcome ON deployments (repo, outcome, id);
CREATE INDEX deployments_of_commit ON deployments (repo, target, commit_id, id);
CREATE INDEX deployments_that_ended ON deployments (outcome, id);
CREATE INDEX deployments_by_age ON deployments (finished_at) WHERE outcome IS NOT NULL;
-- Those that a newer request replaced may be thousands in a row.
CREATE INDEX deployments_that_ran ON deployments (repo, target, id) WHERE outcome <> 'superseded';
-- The texts of a commit.
CREATE INDEX deployments_by_commit ON deployments (repo, coalesce(commit_id, fetched), id) WHERE subject IS NOT NULL;

CREATE INDEX deliveries_by_repo ON deliveries (repo, id);
CREATE INDEX checks_by_age ON checks (at);
CREATE INDEX audit_by_age ON audit (at);

-- The newest report of each kind, and those that a forge does not take.
CREATE INDEX reports_by_change ON reports (repo, target, kind, changed_at);
CREATE INDEX reports_in_trouble ON reports (repo, target, kind, changed_at) WHERE refused IS NOT NULL OR attempt > 3;
