-- What a deployment fetched and who wrote it, for those who look on; what it acts upon is `commit_id`.
ALTER TABLE deployments ADD COLUMN fetched TEXT;
ALTER TABLE deployments ADD COLUMN author TEXT;
