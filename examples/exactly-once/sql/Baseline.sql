-- onward: title Orders and invoices, and the tables that make them happen once
CREATE TABLE orders (
    number bigint NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE invoices (
    order_number bigint NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- What was handled: a row commits with the work of its handler.
CREATE TABLE inbox (
    queue text NOT NULL,
    message_id text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (queue, message_id)
);

-- What is to be sent: a row commits with the work that it is the consequence of.
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key uuid NOT NULL DEFAULT gen_random_uuid(),
    queue text NOT NULL,
    group_id text,
    body text NOT NULL,
    traceparent text,
    parked text,
    written_at timestamptz NOT NULL DEFAULT now()
);
