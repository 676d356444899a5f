SELECT {columns} FROM {table} ORDER BY recipient_id, created_at, notification_id;
