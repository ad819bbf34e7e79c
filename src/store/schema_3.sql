-- How often in a row the daemon was killed while a job was in one phase, and in which.
ALTER TABLE jobs ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN crash_phase TEXT;

-- Whether the daemon stopped in an orderly way while the job ran.
ALTER TABLE jobs ADD COLUMN left_open INTEGER NOT NULL DEFAULT 0;
