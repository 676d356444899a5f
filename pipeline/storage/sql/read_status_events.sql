SELECT {columns} FROM {table} ORDER BY event_id, notification_id, occurred_at, status, attempt;
