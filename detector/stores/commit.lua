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
-- One epoch ahead of the caller's is this very commit, whose answer was lost: it is not applied again.
-- Further ahead, this is a copy that hung in the network while its caller sent another one and went
-- on: its rows are old, and nobody waits for its answer (0).
--
-- HSET and HDEL take 2,000 values at a time, because Lua's stack holds 8,000. HSET comes first: a full
-- Redis refuses the first write of a script or none, and never refuses HDEL, so a commit that began
-- with HDEL would go on beyond maxmemory.

local head = redis.call('HMGET', KEYS[1], 'token', 'epoch')
if head[1] ~= ARGV[1] then
  return 0
end
local ahead = tonumber(head[2] or '0') - tonumber(ARGV[2])
if ahead < 0 then
  return -1
elseif ahead == 1 then
  return ARGV[2] + 1
elseif ahead > 1 then
  return 0
end
local epoch = ARGV[2] + 1

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
