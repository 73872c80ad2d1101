-- onward: title The last run of each periodic job
CREATE TABLE schedule (
    job text PRIMARY KEY,
    due timestamptz NOT NULL,
    attempts bigint NOT NULL,
    node text NOT NULL,
    began_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text
);
