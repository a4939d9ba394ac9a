-- Adds draw jobs to their queues; for a job that is there already, only takes the lease.
-- ARGV: jobs that may wait for a model, seconds a lease is kept, percent of what all may have that one caller may have,
-- seconds of work and bytes that jobs of calls in progress may amount to, calls and images a minute of one caller (0: no
-- limit), n, n fields and values that the hash of every job has, then for each job: its id, model key, queue, lease, time
-- limit (s, '' none), images, seconds of work, bytes, and of its hash `data`, `description`, `meta`, `unikat`.
-- A lease is "<service>/<number>", with "/<caller>" where callers are told apart: only then there is what one may have.
-- Returns for each job {'queued', jobs before it}, {'full', what, used, limit, seconds after which to try again} or
-- {'exists', status, queue, place in it, meta, last entry's number, code of its end, seconds until its deadline, data,
-- extra}.
local limit, lease_ttl, percent = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local most = {seconds = tonumber(ARGV[4]), bytes = tonumber(ARGV[5])}
local most_calls, per_minute = tonumber(ARGV[6]), tonumber(ARGV[7])
local waiting, of_queue, queues, model_of, images, out = {}, {}, {}, {}, {}, {}
local at = 9 + 2 * tonumber(ARGV[8])
local hash = {'HSET', '', 'created_at', rq_time(), 'enqueued_at', rq_time(), unpack(ARGV, 9, at - 1)}
local own = #hash

local function waiting_in(queue)
  if not of_queue[queue] then of_queue[queue] = call('LLEN', 'rq:queue:' .. queue) end
  return of_queue[queue]
end

local function waiting_of(model)
  if not waiting[model] then
    local total = 0
    for _, queue in ipairs(call('LRANGE', 'unikat:turns:' .. model, 0, -1)) do total = total + call('LLEN', 'rq:queue:' .. queue) end
    waiting[model] = total
  end
  return waiting[model]
end

local function full(what, used, allowed, seconds)
  return {'full', what, math.ceil(used), math.ceil(allowed), string.format('%.3f', seconds or 0)}
end

-- Calls of a caller that are in progress; those of services that are gone count no more.
local function calls_of(caller)
  local key, alive = 'unikat:open:' .. caller, {}
  if call('ZCARD', key) >= most_calls then
    call('ZREMRANGEBYSCORE', key, '-inf', redis_time())
    for _, member in ipairs(call('ZRANGE', key, 0, -1)) do
      local service = string.match(member, '^[^/]+')
      if alive[service] == nil then alive[service] = call('EXISTS', 'unikat:inbox:' .. service) == 1 end
      if not alive[service] then call('ZREM', key, member) end
    end
  end
  return call('ZCARD', key)
end

-- Images that a caller may have now: the bucket holds those of a minute.
local function tokens_of(caller)
  if not images[caller] then
    local f = call('HMGET', 'unikat:quota:' .. caller, 'images', 'at')
    local passed = f[2] and math.max(0, tonumber(redis_time()) - tonumber(f[2])) or 60
    images[caller] = math.min(per_minute, tonumber(f[1] or per_minute) + passed * per_minute / 60)
  end
  return images[caller]
end

local function over(caller, allowed, cost)
  for _, kind in ipairs({'seconds', 'bytes'}) do
    local level = spent(caller, lease_ttl)[kind]
    -- What is too large for any moment is let in when there is nothing else.
    if most[kind] > 0 and level > 0 and level + cost[kind] > allowed[kind] then
      return full((caller == '' and '' or 'own ') .. kind, level, allowed[kind], level + cost[kind] - allowed[kind])
    end
  end
end

-- Why a job is not taken; nil if it is. `cost` is not more than a caller's part, so that others have theirs beside it.
local function refusal(model, queue, caller, count, cost, allowed)
  if waiting_of(model) >= limit then return full('queue', waiting_of(model), limit) end
  if caller and waiting_in(queue) >= math.max(1, limit * percent / 100) then
    return full('own queue', waiting_in(queue), limit * percent / 100)
  end
  local refused = (caller and over(caller, allowed, cost)) or over('', most, cost)
  if refused or not caller or per_minute == 0 then return refused end
  local missing = math.min(count, per_minute) - tokens_of(caller)
  if missing > 0 then return full('images', per_minute - tokens_of(caller), per_minute, missing * 60 / per_minute) end
end

local function charge(caller, count, cost)
  if most.seconds > 0 or most.bytes > 0 then
    for _, of in ipairs(caller and {caller, ''} or {''}) do spend(of, cost.seconds, cost.bytes, lease_ttl) end
  end
  if caller and per_minute > 0 then images[caller] = tokens_of(caller) - count end
end

local function lease(job, member, caller)
  call('SADD', 'unikat:calls:' .. job, member)
  call('EXPIRE', 'unikat:calls:' .. job, lease_ttl)
  if caller and most_calls > 0 then
    call('ZADD', 'unikat:open:' .. caller, tonumber(redis_time()) + 3600, member)
    call('EXPIRE', 'unikat:open:' .. caller, 3600)
  end
end

local function existing(job, queue, found)
  if found ~= 'hash' then return {'exists', '', queue, 0, '', 0, -1, '', '', ''} end
  local f = read('rq:job:' .. job, {'status', 'origin', 'meta', 'data', 'unikat', 'unikat_deadline'})
  local place, left, deadline = 0, '', tonumber(f[6] or '')
  if f[1] == 'queued' then place = call('LPOS', 'rq:queue:' .. (f[2] or queue), job) or 0 end
  if deadline then left = string.format('%.3f', deadline - tonumber(redis_time())) end
  local number, code = stream_end('unikat:stream:' .. job)
  return {'exists', f[1] or '', f[2] or queue, place, f[3] or '', number, code, left, f[4] or '', f[5] or ''}
end

local function add(job, model, queue, member, limit_s, caller)
  local count, part = tonumber(ARGV[at + 5]), math.min(percent, 50) / 100
  local allowed = {seconds = most.seconds * percent / 100, bytes = most.bytes * percent / 100}
  local cost = {
    seconds = math.min(tonumber(ARGV[at + 6]), most.seconds * part),
    bytes = math.min(tonumber(ARGV[at + 7]), most.bytes * part),
  }
  local refused = refusal(model, queue, caller, count, cost, allowed)
  if refused then return refused end
  call('DEL', 'unikat:stream:' .. job) -- of a job of this id that has expired: it may have been for something else
  hash[2] = 'rq:job:' .. job
  for i, field in ipairs({'data', 'description', 'meta', 'unikat'}) do
    hash[own + 2 * i - 1], hash[own + 2 * i] = field, ARGV[at + 7 + i]
  end
  hash[own + 9], hash[own + 10] = 'origin', queue
  local last = own + 10
  local function set(field, value)
    hash[last + 1], hash[last + 2] = field, value
    last = last + 2
  end
  if limit_s ~= '' then set('unikat_deadline', string.format('%.3f', tonumber(redis_time()) + tonumber(limit_s))) end
  if most.seconds > 0 or most.bytes > 0 then set('unikat_charge', charged(caller, cost.seconds, cost.bytes)) end
  call(unpack(hash, 1, last))
  charge(caller, count, cost)
  lease(job, member, caller)
  later({'RPUSH', 'rq:queue:' .. queue}, job)
  local before = waiting_of(model)
  waiting[model], of_queue[queue] = before + 1, waiting_in(queue) + 1
  if not model_of[queue] then
    model_of[queue] = model
    queues[#queues + 1] = queue
    call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  end
  return {'queued', before}
end

local function submit(job, model, queue, member, limit_s)
  local caller, found = string.match(member, '^[^/]+/[^/]+/(.+)$'), kind('rq:job:' .. job)
  if caller and most_calls > 0 and not call('ZSCORE', 'unikat:open:' .. caller, member) then
    local calls = calls_of(caller)
    if calls >= most_calls then return full('calls', calls, most_calls, 1) end
  end
  if found == 'none' then return add(job, model, queue, member, limit_s, caller) end
  flush() -- it may be one of these
  lease(job, member, caller)
  return existing(job, queue, found)
end

while at <= #ARGV do
  out[#out + 1] = submit(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4])
  at = at + 12
end
flush()
for caller, left in pairs(images) do
  call('HSET', 'unikat:quota:' .. caller, 'images', string.format('%.3f', left), 'at', redis_time())
  -- Until it is full: one that is not there is.
  call('EXPIRE', 'unikat:quota:' .. caller, math.max(1, math.ceil((per_minute - left) * 60 / per_minute)))
end
settle_budgets(lease_ttl)
for _, queue in ipairs(queues) do
  local model = model_of[queue]
  call('SADD', 'unikat:queues:' .. model, queue)
  ring(model, queue)
end
return out
