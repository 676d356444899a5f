-- The generic cell rate algorithm: KEYS[i] may make one request every ARGV[2i-1] µs, ARGV[2i] of them at once.
-- A key holds its theoretical arrival time in µs. Answers one number each: 0 to let it pass, else the µs to wait.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i = 1, #KEYS do
  local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local arrival = math.max(tonumber(redis.call('GET', KEYS[i]) or now), now)
  local wait = arrival - now - (burst - 1) * interval
  if wait > 0 then
    answers[i] = math.ceil(wait)
  else
    arrival = arrival + interval
    redis.call('SET', KEYS[i], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000) + 1)
    answers[i] = 0
  end
end
return answers
