-- Drop what has been published of one (stage, partition).
--
-- KEYS[1] head    hash: layout, token, epoch, offset
-- KEYS[2] outbox  hash: epoch -> what that commit has still to publish
-- ARGV    token, the epoch up to which everything has been published
--
-- Returns 1, or 0 when the token is void.

if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return 0
end
for _, epoch in ipairs(redis.call('HKEYS', KEYS[2])) do
  if tonumber(epoch) <= tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[2], epoch)
  end
end
return 1
