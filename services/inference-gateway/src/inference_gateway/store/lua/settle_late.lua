-- End an attempt that is no longer open here: its instance was taken for dead, or Redis forgot it.
-- KEYS: stream, done mark, one counter a budget.
-- ARGV: attempt id, facts, outcome, then per counter: difference to the bound, whole amount, keep (s).
-- Answers: 1 noted | 0 was settled before.
local done = redis.call('GET', KEYS[2])
if done == 's' then return 0 end
for i = 3, #KEYS do
  local difference, whole, keep = ARGV[3 * i - 5], ARGV[3 * i - 4], ARGV[3 * i - 3]
  local known = redis.call('EXISTS', KEYS[i]) == 1
  if done == 'u' then
    if known then redis.call('INCRBY', KEYS[i], difference) end
  else
    redis.call('INCRBY', KEYS[i], whole)
    if not known and keep ~= '0' then redis.call('EXPIRE', KEYS[i], keep) end
  end
end
redis.call('SET', KEYS[2], 's', 'EX', 600)
redis.call('XADD', KEYS[1], '*', 'a', ARGV[1], 'f', ARGV[2], 'o', ARGV[3])
return 1
