-- Until when the pace of channel $1 is used up; others wait here until the transaction ends.
INSERT INTO release_pace AS p (channel, used_until) VALUES ($1, $2)
ON CONFLICT (channel) DO UPDATE SET used_until = p.used_until
RETURNING used_until;
