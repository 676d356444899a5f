-- A user keeps $2 devices: those seen last.
DELETE FROM devices USING (
    SELECT device_id FROM devices WHERE user_id = $1 ORDER BY last_seen_at DESC, registered_at DESC, device_id OFFSET $2
) AS oldest
WHERE devices.user_id = $1 AND devices.device_id = oldest.device_id
RETURNING devices.device_id;
