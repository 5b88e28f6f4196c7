-- Take an attempt's upper bound from every budget that it is under, or from none; and note the attempt as open.
-- KEYS: epoch, open hash, the shard's instances, the deployment's cool-down, one counter a budget.
-- ARGV: attempt id, facts, instance, then per counter: amount, limit, keep (s).
-- Answers: {1} | {0, index of the budget that refuses, what it had counted} | {-1} admission is closed
--   | {-2, ms} the provider asked to be left alone for that long.
-- Lua's numbers end at 2^53: INCRBY counts in 64 bits, and amounts are compared as decimal text.
local function above(a, b)
  if string.sub(a, 1, 1) == '-' then return false end
  if #a ~= #b then return #a > #b end
  return a > b
end
local n = #KEYS - 4
if n > 0 and string.sub(redis.call('GET', KEYS[1]) or '', 1, 5) ~= 'open:' then return {-1} end
local cooling = redis.call('PTTL', KEYS[4])
if cooling > 0 then return {-2, cooling} end
for i = 1, n do
  local counter, amount, limit, keep = KEYS[i + 4], ARGV[3 * i + 1], ARGV[3 * i + 2], ARGV[3 * i + 3]
  local before = redis.call('GET', counter)
  redis.call('INCRBY', counter, amount)
  if not before and keep ~= '0' then redis.call('EXPIRE', counter, keep) end
  if above(redis.call('GET', counter), limit) then
    for j = 1, i do redis.call('DECRBY', KEYS[j + 4], ARGV[3 * j + 1]) end
    return {0, i, before or '0'}
  end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('SADD', KEYS[3], ARGV[3])
return {1}
