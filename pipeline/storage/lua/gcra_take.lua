-- Takes places in a queue that moves at a steady rate (GCRA: generic cell rate algorithm).
--
-- The key holds the theoretical arrival time: the µs at which the next place is due if nothing was ever early. A place
-- may be used `tolerance` before it is due, which allows a burst.
--
-- KEYS: one. ARGV: µs between two places, tolerance in µs, µs that a place may lie in the future, places wanted.
-- Answers: the µs until the first place (negative: it is free now), and how many places were taken; the nth place comes
-- n - 1 intervals later. What was not taken would have had to wait longer than allowed.
-- Called twice for one answer (a lost connection), it wastes a place; that is all.
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local horizon, wanted = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local due = math.max(tonumber(redis.call('GET', KEYS[1])) or 0, now)
local first = due - tolerance - now
local taken = math.floor((horizon - first) / interval) + 1
taken = math.max(0, math.min(wanted, taken))
if taken > 0 then
  due = due + taken * interval
  redis.call('SET', KEYS[1], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1000)
end
return { string.format('%.0f', first), taken }
