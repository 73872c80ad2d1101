-- onward: title Destinations that messages may name
CREATE TABLE destinations (
    name text PRIMARY KEY,
    url text NOT NULL,
    timeout_ms bigint NOT NULL DEFAULT 10000 CHECK (timeout_ms BETWEEN 1 AND 600000)
);
COMMENT ON TABLE destinations IS 'Where messages go: a message names a row and can never choose a URL.';
