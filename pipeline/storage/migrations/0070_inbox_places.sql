-- Every entry has a place in its inbox: 1, 2, 3 … in the order in which they were committed, so that "what came after 57"
-- has one answer for good. Who adds holds the row of that inbox's head until the end of the transaction: place 58 is given
-- out only once 57 is committed or given back. A sequence would show 58 before 57, and whoever had read 58 would miss 57.

CREATE TABLE inbox_heads (
    user_id    text PRIMARY KEY,
    last_place bigint NOT NULL
) WITH (fillfactor = 70);

ALTER TABLE inbox ADD COLUMN place bigint;

UPDATE inbox SET place = numbered.place
FROM (
    SELECT notification_id, row_number() OVER (PARTITION BY user_id ORDER BY created_at, notification_id) AS place FROM inbox
) AS numbered
WHERE inbox.notification_id = numbered.notification_id;

INSERT INTO inbox_heads (user_id, last_place) SELECT user_id, max(place) FROM inbox GROUP BY user_id;

ALTER TABLE inbox ALTER COLUMN place SET NOT NULL;

CREATE UNIQUE INDEX inbox_places ON inbox (user_id, place);

CREATE FUNCTION take_inbox_place() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inbox_heads AS h (user_id, last_place) VALUES (NEW.user_id, 1)
    ON CONFLICT (user_id) DO UPDATE SET last_place = h.last_place + 1
    RETURNING last_place INTO NEW.place;
    RETURN NEW;
END
$$;

-- For rows that come by plain SQL, or from a worker that is a release older; ours number a whole batch at once.
CREATE TRIGGER take_inbox_place BEFORE INSERT ON inbox
    FOR EACH ROW WHEN (NEW.place IS NULL) EXECUTE FUNCTION take_inbox_place();
