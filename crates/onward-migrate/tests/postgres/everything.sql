CREATE EXTENSION pgcrypto SCHEMA public;
CREATE SCHEMA shop;
CREATE TABLE shop.notes (body text);
CREATE TABLE shop.plain (a int);
CREATE TYPE mood AS ENUM ('bad', 'good');
CREATE DOMAIN email AS text CONSTRAINT has_at CHECK (value LIKE '%@%');
CREATE TYPE pair AS (a int, b text);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE SEQUENCE numbers AS int START 5 CYCLE;
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    amount numeric(10, 2) NOT NULL DEFAULT 0,
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
    state mood NOT NULL DEFAULT 'good',
    mail email,
    title text COLLATE "C",
    free text,
    CONSTRAINT positive CHECK (amount >= 0)
);
CREATE INDEX by_state ON orders (state);
COMMENT ON TABLE orders IS 'What customers want';
COMMENT ON COLUMN orders.amount IS 'without taxes';
CREATE TABLE lines (id serial PRIMARY KEY, order_id bigint REFERENCES orders, extra text);
CREATE INDEX by_order ON lines (order_id) WHERE extra IS NOT NULL;
CREATE STATISTICS together (dependencies) ON order_id, extra FROM lines;
CREATE TABLE events (year int NOT NULL, note text, CHECK (year > 2000)) PARTITION BY LIST (year);
CREATE INDEX by_note ON events (note);
CREATE TABLE y2026 PARTITION OF events FOR VALUES IN (2026);
CREATE TABLE named (id int) INHERITS (shop.notes);
CREATE VIEW open_orders AS SELECT id, state FROM orders WHERE state = 'good';
CREATE VIEW joined AS
    SELECT o.id, l.extra, (SELECT count(*) FROM shop.notes n WHERE n.body = l.extra) AS notes
    FROM orders o JOIN lines l ON l.order_id = o.id WHERE o.amount > 1;
CREATE MATERIALIZED VIEW totals AS SELECT state, sum(amount) AS total FROM orders GROUP BY state;
CREATE FUNCTION next_day(d date) RETURNS date LANGUAGE sql IMMUTABLE AS 'SELECT d
 + 1';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
CREATE PROCEDURE tidy() LANGUAGE sql AS 'DELETE FROM lines WHERE false';
CREATE FUNCTION longer(text, text) RETURNS text LANGUAGE sql AS 'SELECT CASE WHEN length($1) > length($2) THEN $1 ELSE $2 END';
CREATE AGGREGATE longest(text) (SFUNC = longer, STYPE = text);
CREATE FUNCTION as_number(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE CAST (mood AS int) WITH FUNCTION as_number(mood);
CREATE FUNCTION alike(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT lower($1) = lower($2)';
CREATE OPERATOR === (LEFTARG = text, RIGHTARG = text, FUNCTION = alike);
CREATE TRIGGER stamp BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE RULE no_delete AS ON DELETE TO lines DO INSTEAD NOTHING;
CREATE POLICY own_orders ON orders FOR SELECT USING (title = current_user);
CREATE TEXT SEARCH CONFIGURATION words (COPY = simple);
CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE CONVERSION') EXECUTE FUNCTION watch();
CREATE PUBLICATION changes FOR TABLE lines, orders;
