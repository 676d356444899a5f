UPDATE release_pace SET used_until = $2 WHERE channel = $1;
