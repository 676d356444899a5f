SELECT seq, at, who, action, target, why, details::text AS details, previous_hash, hash
FROM audit_trail
WHERE seq > $1
ORDER BY seq
