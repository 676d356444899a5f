-- Where APNs knows a device: its environment and the bundle id of its app; '' is what the account has.

ALTER TABLE devices
    ADD COLUMN environment text NOT NULL DEFAULT '' CHECK (environment IN ('', 'production', 'sandbox')),
    ADD COLUMN app         text NOT NULL DEFAULT '' CHECK (app ~ '^[A-Za-z0-9.-]{0,255}$');

-- A web push subscription is longer than a token; its endpoint alone may be.
ALTER TABLE devices DROP CONSTRAINT devices_token_check;
ALTER TABLE devices ADD CONSTRAINT devices_token_check CHECK (octet_length(token) BETWEEN 1 AND 2500);
