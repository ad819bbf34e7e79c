-- The phase in which it was decided to go back. On the way back the deployment is in `reload` once more.
ALTER TABLE deployments ADD COLUMN failed_phase TEXT;
