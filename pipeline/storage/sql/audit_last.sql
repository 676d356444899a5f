SELECT seq, at, who, action, target, why, details::text AS details, previous_hash, hash
FROM audit_trail
WHERE ($1::text IS NULL OR action = $1 OR starts_with(action, $1 || '.'))
  AND ($2::text IS NULL OR who = $2)
  AND ($3::timestamptz IS NULL OR at >= $3)
ORDER BY seq DESC
LIMIT $4
