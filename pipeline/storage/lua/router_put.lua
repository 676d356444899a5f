-- Sets KEYS[i] to ARGV[2i-1] for ARGV[2i] milliseconds: MSET cannot give a time to live.
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[2 * i - 1], 'PX', ARGV[2 * i])
end
return #KEYS
