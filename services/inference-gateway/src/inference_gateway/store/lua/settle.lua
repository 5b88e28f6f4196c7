-- End an open attempt: replace what was reserved by what it took, and hand the entry to the ledger. Once.
-- KEYS: open hash, stream, done mark, one counter a budget. ARGV: attempt id, outcome (empty: it never began), then the difference per counter.
-- Answers: 1 settled | 0 was settled before | -1 was taken for dead (its bound is counted) | -2 is not known here.
local facts = redis.call('HGET', KEYS[1], ARGV[1])
if not facts then
  local done = redis.call('GET', KEYS[3])
  if done == 's' then return 0 end
  if done == 'u' then return -1 end
  return -2
end
redis.call('HDEL', KEYS[1], ARGV[1])
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('INCRBY', KEYS[i], ARGV[i - 1]) end
end
redis.call('SET', KEYS[3], 's', 'EX', 600)
if ARGV[2] ~= '' then redis.call('XADD', KEYS[2], '*', 'a', ARGV[1], 'f', facts, 'o', ARGV[2]) end
return 1
