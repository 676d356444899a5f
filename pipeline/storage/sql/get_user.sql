SELECT user_id, email, phone, locale, timezone FROM users WHERE user_id = $1;
