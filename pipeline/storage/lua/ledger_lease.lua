-- Looks at notifications that a worker was handed, and takes those that nobody is sending.
--
-- An entry is: state (1), and but for A the token (16) and the serial (10, hexadecimal) of who wrote it, for S the time
-- in ms at which the holder must have answered (13), then a body that only the worker reads.
--   L leased    S sending    D done, its status not acknowledged yet    W accounted, waits    A accounted, over
--
-- KEYS: for each notification its entry and its cancel mark. ARGV: token, serial, retention in ms.
-- Answers one string each: what it is now (also X: sending, and the holder's time is up), whether the cancel mark is
-- set (0 or 1), then the body; for S the ms that the holder has left.
--
-- A lease that another holds is taken over at once: it never covers a call to a provider, and its holder notices
-- when it wants to send. Who was handed the record last has it. A lease of our own keeps the higher serial: this call
-- may be one that was given up long ago and reaches the server only now.
local token, serial, retention = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i = 1, #KEYS, 2 do
  local key = KEYS[i]
  local mark = redis.call('EXISTS', KEYS[i + 1])
  local entry = redis.call('GET', key)
  local state = entry and string.sub(entry, 1, 1) or 'L'
  local body
  if state == 'L' then
    body = entry and string.sub(entry, 28) or ''
    if not (entry and string.sub(entry, 2, 17) == token and string.sub(entry, 18, 27) > serial) then
      redis.call('SET', key, 'L' .. token .. serial .. body, 'PX', retention)
    end
  elseif state == 'S' then
    local left = tonumber(string.sub(entry, 28, 40)) - now
    if left > 0 then
      body = string.format('%d', left)
    else
      state = 'X'
      body = string.sub(entry, 41)
    end
  else
    body = string.sub(entry, 28)
  end
  answers[#answers + 1] = state .. mark .. body
end
return answers
