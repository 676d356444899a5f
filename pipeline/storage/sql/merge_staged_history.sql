INSERT INTO history AS h
SELECT * FROM staged_history
ON CONFLICT (recipient_id, created_at, notification_id) DO UPDATE SET
    (status, reason, provider, attempt, stage, changed_at) = (
        SELECT w.status, w.reason, w.provider, w.attempt, w.stage, w.changed_at
        FROM (VALUES
            (h.status, h.reason, h.provider, h.attempt, h.stage, h.changed_at),
            (excluded.status, excluded.reason, excluded.provider, excluded.attempt, excluded.stage, excluded.changed_at)
        ) AS w (status, reason, provider, attempt, stage, changed_at)
        ORDER BY w.stage DESC, w.changed_at DESC, w.attempt DESC, w.status COLLATE "C" DESC, w.reason COLLATE "C" DESC,
            w.provider COLLATE "C" DESC
        LIMIT 1
    ),
    in_doubt = h.in_doubt OR excluded.in_doubt,
    sent_at = least(h.sent_at, excluded.sent_at),
    delivered_at = least(h.delivered_at, excluded.delivered_at),
    opened_at = least(h.opened_at, excluded.opened_at),
    clicked_at = least(h.clicked_at, excluded.clicked_at),
    read_at = least(h.read_at, excluded.read_at);
