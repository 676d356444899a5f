-- Gives one place back that was taken and not used, unless the counter is gone (Redis was emptied meanwhile).
--
-- KEYS: the pool's counter for the day.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('DECR', KEYS[1])
end
return 0
