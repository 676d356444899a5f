-- KEYS[i]: a user's snapshot; ARGV[2i-1]: its new value, ARGV[2i]: milliseconds it may live.
-- A value begins with its version, 16 decimal digits. A newer one, snapshot or tombstone, stays; so does a snapshot
-- of the same version where a tombstone (the bare version) comes. Returns how many were stored.
local stored = 0
for i, key in ipairs(KEYS) do
  local value = ARGV[2 * i - 1]
  local old = tonumber(redis.call('GETRANGE', key, 0, 15)) or -1
  local new = tonumber(string.sub(value, 1, 16))
  if new > old or (new == old and #value > 16) then
    redis.call('SET', key, value, 'PX', ARGV[2 * i])
    stored = stored + 1
  end
end
return stored
