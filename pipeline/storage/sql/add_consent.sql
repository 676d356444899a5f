INSERT INTO user_consents (user_id, category, granted, at, source, wording_version)
VALUES ($1, $2, $3, coalesce($4, now()), $5, $6);
