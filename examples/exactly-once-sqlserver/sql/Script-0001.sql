-- onward: title An index for the age of the inbox
-- onward: allow index-offline Not every edition can build an index online, and a new inbox is small
CREATE INDEX inbox_handled_at ON inbox (handled_at);
