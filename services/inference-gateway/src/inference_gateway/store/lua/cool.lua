-- A provider asked to be left alone: no replica reserves for it until then. A longer wish stands.
-- KEYS: the deployment's cool-down. ARGV: milliseconds.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], '1', 'PX', ARGV[1]) end
return 1
