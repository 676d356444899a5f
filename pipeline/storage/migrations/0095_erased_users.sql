-- Whose statuses are not to be stored, should some still come out of Kafka: only a salted hash of the id. Whoever is a
-- user (again) is not meant.
CREATE TABLE erased_users (
    user_hash bytea PRIMARY KEY,
    erased_at timestamptz NOT NULL
);

-- Retention by age reads a part of the inbox only; rows lie there in the order of their time.
CREATE INDEX inbox_age ON inbox USING brin (created_at);
