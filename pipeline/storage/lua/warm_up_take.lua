-- Takes up to `wanted` of the places that a sending pool has left today; answers how many it got.
--
-- KEYS: the pool's counter for the day. ARGV: the day's limit, wanted, how long the counter is kept in ms.
-- Run twice, it counts twice: then the pool carries less today, never more.
local taken = tonumber(redis.call('GET', KEYS[1]) or '0')
local granted = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) - taken))
if granted > 0 then
  redis.call('INCRBY', KEYS[1], granted)
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return granted
