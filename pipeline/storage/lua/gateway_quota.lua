-- Takes ARGV[1] from the quota of ARGV[2] that KEYS[1] counts, or nothing where that would be too much.
-- ARGV[3]: seconds that the counter lives. Answers 1 for taken, 0 for refused.
local used = tonumber(redis.call('GET', KEYS[1]) or 0)
if used + ARGV[1] > tonumber(ARGV[2]) then
  return 0
end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
