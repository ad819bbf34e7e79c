-- Deliveries have a budget in bytes, and the history an age that a clock which jumps can't change.

-- What the deliveries take: payload, headers, and a fixed part for each row.
CREATE TABLE stored (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    bytes INTEGER NOT NULL
);
INSERT INTO stored SELECT 1, coalesce(sum(512 + length(headers) + coalesce(length(body), 0)), 0) FROM deliveries;
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries BEGIN
    UPDATE stored SET bytes = bytes + 512 + length(new.headers) + coalesce(length(new.body), 0);
END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries BEGIN
    UPDATE stored SET bytes = bytes - 512 - length(old.headers) - coalesce(length(old.body), 0);
END;
CREATE TRIGGER deliveries_emptied AFTER UPDATE OF headers, body ON deliveries BEGIN
    UPDATE stored SET bytes = bytes - length(old.headers) - coalesce(length(old.body), 0)
        + length(new.headers) + coalesce(length(new.body), 0);
END;

-- Payloads of what led to nothing go first, then the oldest.
CREATE INDEX deliveries_payloads ON deliveries ((result = 'accepted'), id) WHERE length(body) > 0;

-- What is old is found without a look at all the rest.
CREATE INDEX deliveries_by_age ON deliveries (received_at);
CREATE INDEX jobs_by_age ON jobs (requested_at) WHERE state = 'done';

-- The time by which the age of the history is judged.
CREATE TABLE age_clock (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  INTEGER NOT NULL
);
