-- onward: title Orders and invoices, and the tables that make them happen once
CREATE TABLE orders (
    number bigint NOT NULL,
    taken_at datetimeoffset NOT NULL DEFAULT sysdatetimeoffset()
);
CREATE TABLE invoices (
    order_number bigint NOT NULL,
    made_at datetimeoffset NOT NULL DEFAULT sysdatetimeoffset()
);

-- What was handled: a row commits with the work of its handler.
CREATE TABLE inbox (
    queue nvarchar(80) COLLATE Latin1_General_100_BIN2 NOT NULL,
    message_id nvarchar(100) COLLATE Latin1_General_100_BIN2 NOT NULL,
    handled_at datetimeoffset NOT NULL DEFAULT sysdatetimeoffset(),
    PRIMARY KEY (queue, message_id)
);

-- What is to be sent: a row commits with the work that it is the consequence of.
CREATE TABLE outbox (
    id bigint IDENTITY PRIMARY KEY,
    [key] uniqueidentifier NOT NULL DEFAULT newid(),
    queue nvarchar(80) NOT NULL,
    group_id nvarchar(128) NULL,
    body nvarchar(max) NOT NULL,
    traceparent nvarchar(200) NULL,
    parked nvarchar(1000) NULL,
    written_at datetimeoffset NOT NULL DEFAULT sysdatetimeoffset()
);
