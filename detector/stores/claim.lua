-- Take ownership of one (stage, partition): every older token is void from here on.
--
-- KEYS[1] head    hash: layout (of these keys), token, epoch, offset (absent: nothing committed yet)
-- KEYS[2] outbox  hash: epoch -> what that commit has still to publish
-- ARGV[1] the layout that the caller reads and writes
--
-- Returns {token, epoch, offset or '', {epoch, outbox, ...}}, or {'layout', the layout found}.
--
-- The token is the server's clock in microseconds, or one more than the last token when that is
-- larger: a failover that forgets the newest claims cannot hand out one of their tokens again.

local layout = redis.call('HGET', KEYS[1], 'layout')
if layout and layout ~= ARGV[1] then
  return {'layout', layout}
end
local clock = redis.call('TIME')
local token = clock[1] * 1000000 + clock[2]
local last = tonumber(redis.call('HGET', KEYS[1], 'token') or '0')
if token <= last then
  token = last + 1
end
token = string.format('%.0f', token)
redis.call('HSET', KEYS[1], 'layout', ARGV[1], 'token', token)
return {
  token,
  redis.call('HGET', KEYS[1], 'epoch') or '0',
  redis.call('HGET', KEYS[1], 'offset') or '',
  redis.call('HGETALL', KEYS[2])
}
