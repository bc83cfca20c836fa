-- Try every command that the other scripts use: a right that this user lacks must show now, not in the middle of
-- a commit, whose first writes would stay. A server that is full or read-only refuses here too.
--
-- KEYS[1] ping    hash: gone when this returns
--
-- Returns the names of the commands that are denied.

local tried = {
  {'TIME'}, {'HSET', KEYS[1], 'ping', ''}, {'HGET', KEYS[1], 'ping'}, {'HMGET', KEYS[1], 'ping'},
  {'HGETALL', KEYS[1]}, {'HKEYS', KEYS[1]}, {'HDEL', KEYS[1], 'ping'},
}
local denied = {}
for _, command in ipairs(tried) do
  local answer = redis.pcall(unpack(command))
  if type(answer) == 'table' and answer.err then
    if not (string.find(answer.err, "can't run this command", 1, true) or string.find(answer.err, 'ACL', 1, true)
        or string.find(answer.err, 'NOPERM', 1, true)) then
      return redis.error_reply(answer.err)
    end
    table.insert(denied, string.lower(command[1]))
  end
end
return denied
