-- When something was first told of a notification, so that whoever tells it again writes the very same record.
--
-- KEYS: for each thing its claim: the time in ms at which it happened, D before it once the record is acknowledged.
-- ARGV: retention in ms; then for each the time that is told now.
-- Answers each claim as it was or now is.
local answers = {}
for i = 1, #KEYS do
  local known = redis.call('GET', KEYS[i])
  if not known then
    known = ARGV[i + 1]
    redis.call('SET', KEYS[i], known, 'PX', ARGV[1])
  end
  answers[i] = known
end
return answers
