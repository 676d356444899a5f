-- Who asks first for an idempotency key of a recipient, and with which body.
--
-- A claim is: state (1: P pending, A accepted), the body's fingerprint (16), the time in ms until which its owner may
-- wait for Kafka (13), the event's id. KEYS: for each event its claim, and where its id is looked up; in a cluster, where
-- that is another slot's, only its claim.
-- ARGV: keys an event (1 or 2), ms that a claim may be pending, retention in ms; then for each event fingerprint, id,
-- what the id leads to.
-- Answers one string each: N it is ours. T it is ours now, its owner gave up: the id that it has. A accepted before:
-- the id. W another is at it. C it was another body.
local each, pending, retention = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i = 1, #KEYS, each do
  local at = 4 + (i - 1) / each * 3
  local print, id = ARGV[at], ARGV[at + 1]
  local claim = redis.call('GET', KEYS[i])
  local answer = 'N'
  if claim then
    id = string.sub(claim, 31)
    if string.sub(claim, 2, 17) ~= print then
      answer = 'C'
    elseif string.sub(claim, 1, 1) == 'A' then
      answer = 'A' .. id
    elseif tonumber(string.sub(claim, 18, 30)) > now then
      answer = 'W'
    else
      answer = 'T' .. id
    end
  end
  local first = string.sub(answer, 1, 1)
  if first == 'N' or first == 'T' then
    redis.call('SET', KEYS[i], 'P' .. print .. string.format('%013d', now + pending) .. id, 'PX', retention)
    if each == 2 then
      redis.call('SET', KEYS[i + 1], ARGV[at + 2], 'PX', retention)
    end
  end
  answers[#answers + 1] = answer
end
return answers
