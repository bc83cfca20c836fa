-- Apply one commit of one (stage, partition): rows, offset and outbox together, or nothing.
--
-- KEYS[1] head    hash: layout, token, epoch, offset
-- KEYS[2] outbox  hash: epoch -> what that commit has still to publish
-- KEYS[3] rows    hash: the stage's rows
-- ARGV    token, the last epoch that the caller knows of, the next offset, the outbox ('' for none),
--         the number of keys to delete, those keys, then key, row, key, row, ...
--
-- Returns the new epoch; 0 when the token is void; -1 when the store is behind the caller (a failover
-- lost a commit that had been acknowledged, so the caller's rows no longer continue the stored ones).
-- An epoch ahead of the caller's is its own commit whose answer was lost.
--
-- HSET and HDEL take 2,000 values at a time, because Lua's stack holds 8,000. HSET comes first: a full
-- Redis refuses the first write of a script or none, and never refuses HDEL, so a commit that began
-- with HDEL would go on beyond maxmemory.

local head = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if head[1] ~= ARGV[1] then
  return 0
end
local epoch = tonumber(head[2] or '0')
if epoch < tonumber(ARGV[2]) then
  return -1
end
epoch = epoch + 1

local first_row = 6 + tonumber(ARGV[5])
for start = first_row, #ARGV, 2000 do
  redis.call('HSET', KEYS[3], unpack(ARGV, start, math.min(start + 1999, #ARGV)))
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], epoch, ARGV[4])
end
for start = 6, first_row - 1, 2000 do
  redis.call('HDEL', KEYS[3], unpack(ARGV, start, math.min(start + 1999, first_row - 1)))
end
redis.call('HSET', KEYS[1], 'epoch', epoch, 'offset', ARGV[3])
return epoch
