-- Writes entries of the ledger back into a Redis that was emptied, each only if there is none.
-- (ledger_lease.lua says what an entry is.)
--
-- KEYS: the entries. ARGV: token, retention in ms, lease in ms; then for each entry its state (1) and its body.
-- The holder of what is S has a whole lease from now on: it may be waiting for its answer still.
local token, retention, lease = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i, key in ipairs(KEYS) do
  local state, body = string.sub(ARGV[i + 3], 1, 1), string.sub(ARGV[i + 3], 2)
  local entry = state .. token .. '0000000000' .. body
  if state == 'S' then
    entry = state .. token .. '0000000000' .. string.format('%013d', now + lease) .. body
  elseif state == 'A' then
    entry = state
  end
  redis.call('SET', key, entry, 'PX', retention, 'NX')
end
return #KEYS
