-- Every change of what a user's snapshot shows gives the user a greater version and says so on `user_changed`.
-- Versions are drawn while the user's row here is locked, so that they grow in the order of commits.

CREATE SEQUENCE user_version_seq;

CREATE TABLE user_versions (
    user_id    text PRIMARY KEY,
    version    bigint NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE INDEX user_versions_changed_at ON user_versions (changed_at);

CREATE FUNCTION touch_users(ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_versions (user_id, version, changed_at)
    SELECT id, nextval('user_version_seq'), clock_timestamp()
    FROM (SELECT DISTINCT unnest(ids) AS id ORDER BY id) AS changed
    ON CONFLICT (user_id) DO UPDATE SET version = nextval('user_version_seq'), changed_at = clock_timestamp();
    PERFORM pg_notify('user_changed', id) FROM unnest(ids) AS id;
END
$$;

-- An update that leaves everything as it was but the time stamps changes nobody's snapshot.
CREATE FUNCTION user_row_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stamps CONSTANT text[] := '{updated_at,last_seen_at,registered_at}';
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM touch_users(ARRAY(
            SELECT user_id FROM (SELECT user_id, to_jsonb(b) - stamps FROM before b
                                 EXCEPT SELECT user_id, to_jsonb(c) - stamps FROM changed c) AS gone
            UNION
            SELECT user_id FROM (SELECT user_id, to_jsonb(c) - stamps FROM changed c
                                 EXCEPT SELECT user_id, to_jsonb(b) - stamps FROM before b) AS come
        ));
    ELSE
        PERFORM touch_users(ARRAY(SELECT DISTINCT user_id FROM changed));
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION suppression_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM touch_users(ARRAY(
        SELECT user_id FROM changed WHERE address_hash IS NULL
        UNION
        SELECT u.user_id FROM changed c JOIN users u ON u.email_hash = c.address_hash WHERE c.channel = 'email'
        UNION
        SELECT u.user_id FROM changed c JOIN users u ON u.phone_hash = c.address_hash WHERE c.channel = 'sms'
    ));
    RETURN NULL;
END
$$;

CREATE TRIGGER users_inserted AFTER INSERT ON users
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER users_updated AFTER UPDATE ON users
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER users_deleted AFTER DELETE ON users
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER preferences_inserted AFTER INSERT ON user_notification_preferences
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER preferences_updated AFTER UPDATE ON user_notification_preferences
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER preferences_deleted AFTER DELETE ON user_notification_preferences
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER consents_inserted AFTER INSERT ON user_consents
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER consents_updated AFTER UPDATE ON user_consents
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER consents_deleted AFTER DELETE ON user_consents
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER devices_inserted AFTER INSERT ON devices
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER devices_updated AFTER UPDATE ON devices
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER devices_deleted AFTER DELETE ON devices
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION user_row_changed();

CREATE TRIGGER suppressions_inserted AFTER INSERT ON suppressions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION suppression_changed();

CREATE TRIGGER suppressions_updated_from AFTER UPDATE ON suppressions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION suppression_changed();

CREATE TRIGGER suppressions_updated_to AFTER UPDATE ON suppressions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION suppression_changed();

CREATE TRIGGER suppressions_deleted AFTER DELETE ON suppressions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION suppression_changed();
