-- What waits and what is charged, for whoever watches. Reads only, and a bounded part of long queues.
-- ARGV: seconds in which a charge fades, jobs of a queue that are looked at.
-- Returns {{model key, jobs, images} for each queue with jobs, {seconds, bytes} of calls in progress, {batch's head, images
-- left, whether it is paused} for each open batch}.
local PREFIX, OF = 'rq:queue:unikat:', 'unikat:batches:of:'
local ttl, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local queues, batches = {}, {}

-- Images of a queue's jobs; of those behind the first, as many as the first have on average.
local function images_of(queue, jobs)
  local ids, total = call('LRANGE', queue, 0, most - 1), 0
  for _, id in ipairs(ids) do
    local f = redis.pcall('HGET', 'rq:job:' .. id, 'description') -- "4 of emoji@1"
    total = total + (type(f) == 'string' and tonumber(string.match(f, '^(%d+) of ')) or 1)
  end
  return total * jobs / #ids
end

for _, queue in ipairs(call('SMEMBERS', 'rq:queues')) do
  local model = string.sub(queue, 1, #PREFIX) == PREFIX and string.match(queue, '^([a-z][a-z0-9-]*@%d+%.%x+)%.', #PREFIX + 1)
  local jobs = model and call('LLEN', queue) or 0
  if jobs > 0 then queues[#queues + 1] = {model, jobs, string.format('%.3f', images_of(queue, jobs))} end
end
for _, owner in ipairs(call('LRANGE', 'unikat:batches:owners', 0, -1)) do
  for _, id in ipairs(call('LRANGE', OF .. owner, 0, -1)) do
    local f = call('HMGET', 'unikat:batch:' .. id, 'head', 'total', 'shards', 'paused')
    local written = call('BITCOUNT', 'unikat:batch:' .. id .. ':done') / (tonumber(f[3] or '') or 1)
    local left = (tonumber(f[2] or '') or 0) * math.max(0, 1 - written)
    batches[#batches + 1] = {f[1] or '', string.format('%.3f', left), f[4] and 1 or 0}
  end
end
local level = spent('', ttl)
return {queues, {string.format('%.3f', level.seconds), string.format('%.0f', level.bytes)}, batches}
