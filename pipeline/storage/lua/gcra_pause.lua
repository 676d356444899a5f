-- Lets nobody take a place before a pause is over: the provider asked all of us to wait. (gcra_take.lua)
--
-- KEYS: one. ARGV: pause in µs, tolerance in µs. A longer wait that is already there stays.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now + ARGV[1] + ARGV[2])
redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1000)
return 1
