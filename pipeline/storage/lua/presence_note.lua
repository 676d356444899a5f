-- Notes for each user (KEYS) until when (ARGV[2], ms) they are connected to an instance (ARGV[1]). What has run out by now
-- (ARGV[3], ms) goes, but for what stands last: when the user was there last. ARGV[4]: seconds that this is remembered.
for _, key in ipairs(KEYS) do
    redis.call('ZADD', key, ARGV[2], ARGV[1])
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. ARGV[3])
    redis.call('EXPIRE', key, ARGV[4])
end
