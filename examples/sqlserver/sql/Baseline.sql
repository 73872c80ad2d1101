-- onward: title Destinations, and what was delivered to them

CREATE TABLE destinations (
    name       nvarchar(200) NOT NULL PRIMARY KEY,
    url        nvarchar(2000) NOT NULL,
    timeout_ms bigint NOT NULL DEFAULT 10000 CHECK (timeout_ms > 0)
);
GO

CREATE TABLE deliveries (
    message_id  nvarchar(100) NOT NULL PRIMARY KEY,
    destination nvarchar(200) NOT NULL,
    status      nvarchar(20) NOT NULL CHECK (status IN ('delivered', 'retrying', 'rejected')),
    http_status bigint NULL,
    reason      nvarchar(max) NULL,
    attempts    bigint NOT NULL,
    created_at  datetimeoffset NOT NULL DEFAULT sysdatetimeoffset(),
    updated_at  datetimeoffset NOT NULL DEFAULT sysdatetimeoffset()
);
GO
