-- Note an attempt as open again after Redis has forgotten it, and take its charges again, over any limit.
-- KEYS: open hash, the shard's instances, done mark, one counter a budget.
-- ARGV: attempt id, facts, instance, then per counter: amount, keep (s). Answers: 1 restored | 0 was there.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
for i = 4, #KEYS do
  local amount, keep = ARGV[2 * i - 4], ARGV[2 * i - 3]
  local known = redis.call('EXISTS', KEYS[i]) == 1
  redis.call('INCRBY', KEYS[i], amount)
  if not known and keep ~= '0' then redis.call('EXPIRE', KEYS[i], keep) end
end
return 1
