-- Whose quiet hours changed: what waits for their end is to be decided again. A queue that the scheduler empties, so that
-- who changes a preference never waits for a scheduler.

CREATE TABLE quiet_hours_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION zone_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO quiet_hours_changes (user_id)
    SELECT c.user_id FROM changed AS c JOIN before AS b USING (user_id) WHERE c.timezone IS DISTINCT FROM b.timezone;
    RETURN NULL;
END
$$;

CREATE TRIGGER zone_changed AFTER UPDATE ON users
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION zone_changed();

CREATE FUNCTION quiet_hours_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO quiet_hours_changes (user_id)
        SELECT DISTINCT c.user_id FROM changed AS c JOIN before AS b USING (user_id, channel, notif_type)
        WHERE (c.quiet_start, c.quiet_end, c.timezone) IS DISTINCT FROM (b.quiet_start, b.quiet_end, b.timezone);
    ELSE
        INSERT INTO quiet_hours_changes (user_id)
        SELECT DISTINCT user_id FROM changed WHERE quiet_start IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER quiet_hours_inserted AFTER INSERT ON user_notification_preferences
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION quiet_hours_changed();

CREATE TRIGGER quiet_hours_updated AFTER UPDATE ON user_notification_preferences
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION quiet_hours_changed();

CREATE TRIGGER quiet_hours_deleted AFTER DELETE ON user_notification_preferences
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION quiet_hours_changed();
