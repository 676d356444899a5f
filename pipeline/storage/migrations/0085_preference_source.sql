-- Where a preference was set last: preference_page, unsubscribe_page, one_click, gateway, import, or empty (not told).
ALTER TABLE user_notification_preferences ADD COLUMN source text NOT NULL DEFAULT '';
