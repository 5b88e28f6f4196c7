-- What a dead instance's journal knows of an attempt that the ledger does not have. Once.
-- KEYS: the dead instance's open hash, stream, done mark, one counter a budget.
-- ARGV: attempt id, facts, outcome, mark (s: its end was seen | u: it was not), seconds to remember, then per counter:
--   difference where it is open still, difference where it was taken for lost, whole amount, keep (s).
-- Answers: 1 handed over | 0 was known.
local done = redis.call('GET', KEYS[3])
if done == 's' or (done and ARGV[4] == 'u') then return 0 end
local open = redis.call('HDEL', KEYS[1], ARGV[1]) == 1
for i = 4, #KEYS do
  local at = 6 + 4 * (i - 4)
  local known = redis.call('EXISTS', KEYS[i]) == 1
  if open or done == 'u' then
    if known then redis.call('INCRBY', KEYS[i], open and ARGV[at] or ARGV[at + 1]) end
  else
    redis.call('INCRBY', KEYS[i], ARGV[at + 2])
    if not known and ARGV[at + 3] ~= '0' then redis.call('EXPIRE', KEYS[i], ARGV[at + 3]) end
  end
end
redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[5])
redis.call('XADD', KEYS[2], '*', 'a', ARGV[1], 'f', ARGV[2], 'o', ARGV[3])
return 1
