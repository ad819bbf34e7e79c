-- Those of one result may be few among thousands of others.

CREATE INDEX deliveries_by_result ON deliveries (result, id);
CREATE INDEX deliveries_by_repo_and_result ON deliveries (repo, result, id);

-- The first job that an act asked for: how that ended is what came of the act.
ALTER TABLE audit ADD COLUMN job INTEGER;
