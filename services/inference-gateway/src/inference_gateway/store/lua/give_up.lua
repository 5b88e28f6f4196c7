-- Take an attempt of a dead instance for lost: its bound stays counted, its slot is freed, the ledger hears of it.
-- KEYS: open hash, stream, done mark, one counter per concurrency budget.
-- ARGV: attempt id, outcome, seconds to remember, then the amount per counter.
local facts = redis.call('HGET', KEYS[1], ARGV[1])
if not facts then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('DECRBY', KEYS[i], ARGV[i]) end
end
redis.call('SET', KEYS[3], 'u', 'EX', ARGV[3])
redis.call('XADD', KEYS[2], '*', 'a', ARGV[1], 'f', facts, 'o', ARGV[2])
return 1
