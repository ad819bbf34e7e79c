-- Why a forge has not taken a report yet, and the digest of the token (with the place of the API) that it refused: another one is
-- tried.
ALTER TABLE reports ADD COLUMN trouble TEXT;
ALTER TABLE reports ADD COLUMN refused_access TEXT;

-- Each repo's reports are sent one after the other, whatever becomes of those of others.
DROP INDEX reports_untold;
CREATE INDEX reports_untold ON reports (repo, changed_at) WHERE told IS NOT wanted AND refused IS NULL;
DROP INDEX reports_in_trouble;
CREATE INDEX reports_in_trouble ON reports (repo, target, kind, changed_at) WHERE refused IS NOT NULL OR trouble IS NOT NULL;
CREATE INDEX reports_refused_access ON reports (repo, changed_at) WHERE refused_access IS NOT NULL;

-- Which of the repo's secrets a delivery was verified with, counted from 1; none if it was none of them.
ALTER TABLE deliveries ADD COLUMN secret INTEGER;
