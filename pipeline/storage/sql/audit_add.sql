WITH added AS (
    INSERT INTO audit_trail (seq, at, who, action, target, why, details, previous_hash, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
)
UPDATE audit_trail_head SET seq = $1, hash = $9
