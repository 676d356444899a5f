-- Token $3[i] belongs to device $2[i] of user $1[i] now: whoever else had it loses it.
DELETE FROM devices USING unnest($1::text[], $2::text[], $3::text[]) AS given (user_id, device_id, token)
WHERE devices.token = given.token AND (devices.user_id, devices.device_id) <> (given.user_id, given.device_id)
RETURNING devices.user_id;
