"""Redis keys and Lua scripts of the online buffer, each in this one place with its arguments.

Every change of state is one script, so that it happens whole or not at all, whoever else writes. All keys of a run share a
hash tag. KEYS[1] is the prefix `rltf:{RUN}:`, from which the scripts make:

    fifo     sorted set   ids of waiting groups by sequence number
    aside    sorted set   ids of used groups that wait no more, by the last step that drew them
    seen     sorted set   ids of all groups ever appended, by sequence number
    counts   hash         sequence, waiting, appended, drawn, evicted:REASON (in samples)
    g:ID     hash         payload, samples, version, sequence, uses, step (the last that drew it)
"""

_COMMON = """
local p = KEYS[1]
local fifo, aside, seen, counts = p..'fifo', p..'aside', p..'seen', p..'counts'
local function number(key, field) return tonumber(redis.call('HGET', key, field) or '0') end
local function evict(id, reason)
  local key = p..'g:'..id
  local samples, step = number(key, 'samples'), number(key, 'step')
  redis.call('ZREM', fifo, id)
  if step < 0 then redis.call('DEL', key) else redis.call('ZADD', aside, step, id) end
  redis.call('HINCRBY', counts, 'waiting', -samples)
  redis.call('HINCRBY', counts, 'evicted:'..reason, samples)
end
"""

APPEND = (
    _COMMON
    + """
-- ARGV: id, payload, samples, version, capacity, overflow -> added | duplicate | full
local id, samples, capacity = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[5])
if redis.call('ZSCORE', seen, id) then return 'duplicate' end
while redis.call('ZCARD', fifo) > 0 and number(counts, 'waiting') + samples > capacity do
  if ARGV[6] == 'block' then return 'full' end
  evict(redis.call('ZRANGE', fifo, 0, 0)[1], 'overflow')
end
local sequence = redis.call('HINCRBY', counts, 'sequence', 1)
redis.call('HSET', p..'g:'..id, 'payload', ARGV[2], 'samples', samples, 'version', ARGV[4],
           'sequence', sequence, 'uses', 0, 'step', -1)
redis.call('ZADD', fifo, sequence, id)
redis.call('ZADD', seen, sequence, id)
redis.call('HINCRBY', counts, 'waiting', samples)
redis.call('HINCRBY', counts, 'appended', samples)
return 'added'
"""
)

WAITING = (
    _COMMON
    + """
-- -> flat list of id, version, samples, oldest first
local found = {}
for _, id in ipairs(redis.call('ZRANGE', fifo, 0, -1)) do
  local values = redis.call('HMGET', p..'g:'..id, 'version', 'samples')
  found[#found + 1], found[#found + 2], found[#found + 3] = id, values[1], values[2]
end
return found
"""
)

OLDEST = (
    _COMMON
    + """
-- -> version of the first waiting group, nil where none waits
local first = redis.call('ZRANGE', fifo, 0, 0)[1]
return first and redis.call('HGET', p..'g:'..first, 'version')
"""
)

DRAW = (
    _COMMON
    + """
-- ARGV: step, max_uses, ids ... -> the ids that were drawn
local step, max_uses, drawn = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for i = 3, #ARGV do
  local id, key = ARGV[i], p..'g:'..ARGV[i]
  local again = number(key, 'step') == step and redis.call('EXISTS', key) == 1
  if again or redis.call('ZSCORE', fifo, id) then
    drawn[#drawn + 1] = id
    if not again then
      local samples = number(key, 'samples')
      redis.call('HSET', key, 'step', step)
      redis.call('HINCRBY', counts, 'drawn', samples)
      if redis.call('HINCRBY', key, 'uses', 1) == max_uses then
        redis.call('ZREM', fifo, id)
        redis.call('ZADD', aside, step, id)
        redis.call('HINCRBY', counts, 'waiting', -samples)
      end
    end
  end
end
return drawn
"""
)

EVICT = (
    _COMMON
    + """
-- ARGV: reason, ids ...
for i = 2, #ARGV do
  if redis.call('ZSCORE', fifo, ARGV[i]) then evict(ARGV[i], ARGV[1]) end
end
"""
)

COMMIT = (
    _COMMON
    + """
-- ARGV: steps
local before = '('..ARGV[1]
for _, id in ipairs(redis.call('ZRANGEBYSCORE', aside, '-inf', before)) do redis.call('DEL', p..'g:'..id) end
redis.call('ZREMRANGEBYSCORE', aside, '-inf', before)
"""
)

REWIND = (
    _COMMON
    + """
-- ARGV: steps, sequence, drawn
local steps, newest = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', aside, ARGV[1], '+inf')) do
  redis.call('ZADD', fifo, number(p..'g:'..id, 'sequence'), id)
  redis.call('HINCRBY', counts, 'waiting', number(p..'g:'..id, 'samples'))
end
redis.call('ZREMRANGEBYSCORE', aside, ARGV[1], '+inf')
for _, id in ipairs(redis.call('ZRANGE', fifo, 0, -1)) do
  local key = p..'g:'..id
  if number(key, 'step') >= steps then
    redis.call('HINCRBY', key, 'uses', -1)
    redis.call('HSET', key, 'step', -1)
  end
  if number(key, 'sequence') > newest then
    redis.call('HSET', key, 'step', -1)
    evict(id, 'rewound')
  end
end
redis.call('ZREMRANGEBYSCORE', seen, '('..ARGV[2], '+inf')
redis.call('HSET', counts, 'drawn', ARGV[3])
"""
)

ALL = (APPEND, WAITING, OLDEST, DRAW, EVICT, COMMIT, REWIND)
