-- onward: title What became of each delivery
CREATE TABLE deliveries (
    message_id text PRIMARY KEY,
    destination text NOT NULL,
    status text NOT NULL CHECK (status IN ('delivered', 'retrying', 'rejected')),
    http_status bigint,
    reason text,
    attempts bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX deliveries_by_destination ON deliveries (destination, updated_at);
