-- onward: title An index for the age of the inbox
-- onward: no-transaction
CREATE INDEX CONCURRENTLY inbox_handled_at ON inbox (handled_at);
