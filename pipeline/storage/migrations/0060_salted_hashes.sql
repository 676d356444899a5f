-- Of a suppressed address only a hash is kept. There are few enough phone numbers to hash them all: so the hash has a salt,
-- drawn here once for each installation, and nobody can look an address up who has the table alone.

DO $$
DECLARE
    salt CONSTANT bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
BEGIN
    UPDATE suppressions SET address_hash = sha256(salt || address_hash) WHERE address_hash IS NOT NULL;
    ALTER TABLE users DROP COLUMN email_hash, DROP COLUMN phone_hash;
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION address_hash(channel text, address text) RETURNS bytea '
        'LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN sha256(%1$L::bytea || sha256(convert_to('
        'CASE channel WHEN ''sms'' THEN regexp_replace(address, ''[^0-9+]'', '''', ''g'') ELSE lower(btrim(address)) END, '
        '''UTF8'')))', salt
    );
    EXECUTE format(
        'CREATE FUNCTION user_hash(user_id text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE '
        'RETURN sha256(%1$L::bytea || convert_to(''user:'' || user_id, ''UTF8''))', salt
    );
END
$$;

ALTER TABLE users
    ADD COLUMN email_hash bytea GENERATED ALWAYS AS (address_hash('email', email)) STORED,
    ADD COLUMN phone_hash bytea GENERATED ALWAYS AS (address_hash('sms', phone)) STORED;

CREATE INDEX users_email_hash ON users (email_hash) WHERE email_hash IS NOT NULL;

CREATE INDEX users_phone_hash ON users (phone_hash) WHERE phone_hash IS NOT NULL;
