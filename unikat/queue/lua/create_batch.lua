-- Creates a batch, whole or not at all. Its shards are ids in its queue; a shard's job is made when a worker takes it.
-- ARGV: batch, owner, destination, bytes that it takes, seconds of work, then what is allowed of open batches, bytes and
-- seconds of work to the owner and to all together (6 numbers, 0: no limit), then head, cells, content, images, shards,
-- n, n folders in which the destination lies, and the folders that the batch makes in it.
-- Returns {'created', content}; {'exists', content} of the batch that has this id; {'taken', batch, where it writes} for
-- one whose files would be mixed with this one's;
-- {'refused', what, of whom (owner or all), used, limit}.
local batch, owner, destination = ARGV[1], ARGV[2], ARGV[3]
local DESTINATION, DESTINATIONS = 'unikat:batches:destination:', 'unikat:batches:destinations'
local key, queue, of = 'unikat:batch:' .. batch, 'unikat-batch-' .. batch, 'unikat:batches:of:'
local OWNERS, KEPT = 'unikat:batches:owners', 'unikat:batches:bytes'

-- Open batches of an owner, and the seconds of work that are left of them.
local function open_of(each)
  local batches, seconds = call('LRANGE', of .. each, 0, -1), 0
  for _, id in ipairs(batches) do
    local f = call('HMGET', 'unikat:batch:' .. id, 'seconds', 'shards')
    local all = tonumber(f[2] or '') or 1 -- of one that is damaged
    seconds = seconds + (tonumber(f[1] or '') or 0) * (1 - call('BITCOUNT', 'unikat:batch:' .. id .. ':done') / all)
  end
  return #batches, seconds
end

local function refusal()
  local open, seconds = {owner = 0, all = 0}, {owner = 0, all = 0}
  for _, each in ipairs(call('LRANGE', OWNERS, 0, -1)) do
    local count, left = open_of(each)
    open.all, seconds.all = open.all + count, seconds.all + left
    if each == owner then open.owner, seconds.owner = count, left end
  end
  local kept = call('HMGET', KEPT, owner, '')
  local used = {
    {'open', 'owner', open.owner, 1}, {'bytes', 'owner', tonumber(kept[1] or '0'), tonumber(ARGV[4])},
    {'seconds', 'owner', seconds.owner, tonumber(ARGV[5])}, {'open', 'all', open.all, 1},
    {'bytes', 'all', tonumber(kept[2] or '0'), tonumber(ARGV[4])}, {'seconds', 'all', seconds.all, tonumber(ARGV[5])},
  }
  for i, each in ipairs(used) do
    local limit = tonumber(ARGV[5 + i])
    -- What is too large for any moment is let in when there is nothing else; bytes never are.
    local alone = each[1] == 'seconds' and each[3] == 0
    if limit > 0 and not alone and each[3] + each[4] > limit then
      return {'refused', each[1], each[2], tostring(math.ceil(each[3])), tostring(limit)}
    end
  end
end

local function held(place)
  local holder = call('GET', DESTINATION .. place)
  if holder and holder ~= batch then return {'taken', holder, place} end
end

local function in_the_way()
  local found = held(destination)
  for i = 18, 17 + tonumber(ARGV[17]) do found = found or held(ARGV[i]) end
  for i = 18 + tonumber(ARGV[17]), #ARGV do
    local inside = ARGV[i]
    local below = call('ZRANGE', DESTINATIONS, '[' .. inside .. '/', '(' .. inside .. '0', 'BYLEX', 'LIMIT', 0, 1)[1]
    found = found or held(inside) or (below and held(below)) -- "0" follows "/"
  end
  return found
end

local function push_shards(shards)
  local ids = {}
  for shard = 0, shards - 1 do
    ids[#ids + 1] = string.format('b-%s-%05d', batch, shard)
    if #ids == 1000 or shard == shards - 1 then
      call('RPUSH', 'rq:queue:' .. queue, unpack(ids))
      ids = {}
    end
  end
end

local there = call('HGET', key, 'content')
if there then return {'exists', there} end
local taken = in_the_way()
if taken then return taken end
local refused = refusal()
if refused then return refused end
-- What a creation of the release before that was given up has left, and a worker that was slow to hear of a deletion.
call('DEL', 'rq:queue:' .. queue, key, key .. ':done', key .. ':failed', key .. ':pace', key .. ':refused')
push_shards(tonumber(ARGV[16]))
call('SADD', 'rq:queues', 'rq:queue:' .. queue)
call('HSET', key, 'head', ARGV[12], 'content', ARGV[14], 'total', ARGV[15], 'shards', ARGV[16], 'created', redis_time(),
  'round', 0, 'revision', 1, 'bytes', ARGV[4], 'seconds', ARGV[5])
call('SET', key .. ':cells', ARGV[13])
call('ZADD', 'unikat:batches', redis_time(), batch)
call('SET', DESTINATION .. destination, batch)
call('ZADD', DESTINATIONS, 0, destination)
call('RPUSH', of .. owner, batch)
call('LREM', OWNERS, 0, owner)
call('RPUSH', OWNERS, owner)
call('HINCRBY', KEPT, owner, ARGV[4])
call('HINCRBY', KEPT, '', ARGV[4])
return {'created', ARGV[14]}
