-- The generic cell rate algorithm: KEYS[i] may make one request every ARGV[3i-2] µs, ARGV[3i-1] of them at once, and would
-- like to make ARGV[3i] of them. A key holds its theoretical arrival time in µs.
-- Answers one number each: how many may pass (all that it would like, else one), or 0 minus the µs to wait.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i = 1, #KEYS do
  local interval, burst, wanted = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local arrival = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now)
  local room = burst * interval - (arrival - now)
  if room < wanted * interval then
    wanted = 1
  end
  if room < wanted * interval then
    answers[i] = -math.ceil(wanted * interval - room)
  else
    arrival = arrival + wanted * interval
    redis.call('SET', KEYS[i], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
    answers[i] = wanted
  end
end
return answers
