-- Adds draw jobs to their queues; for a job that is there already, only takes the lease.
-- ARGV: jobs that may wait for a model, seconds a lease is kept, n, n fields and values that the hash of every job has,
-- then for each job: its id, model key, queue, lease, time limit (s, '' none), and of its hash `data`, `description`,
-- `meta`, `unikat`.
-- A model key of '' stands for the queue `unikat`, from which workers of the release before take jobs of all models.
-- Returns for each job {'queued', jobs before it}, {'full', jobs that wait} or
-- {'exists', status, queue, place in it, meta, last entry's number, code of its end, seconds until its deadline, data,
-- extra}.
local limit, lease_ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local waiting, queues, model_of, out = {}, {}, {}, {}
local at = 4 + 2 * tonumber(ARGV[3])
local hash = {'HSET', '', 'created_at', rq_time(), 'enqueued_at', rq_time(), unpack(ARGV, 4, at - 1)}
local own = #hash

local function waiting_of(model)
  if not waiting[model] then
    local total = 0
    local turns = model == '' and {'unikat'} or call('LRANGE', 'unikat:turns:' .. model, 0, -1)
    for _, queue in ipairs(turns) do total = total + call('LLEN', 'rq:queue:' .. queue) end
    waiting[model] = total
  end
  return waiting[model]
end

local function lease(job, member)
  call('SADD', 'unikat:calls:' .. job, member)
  call('EXPIRE', 'unikat:calls:' .. job, lease_ttl)
end

local function existing(job, queue, found)
  if found ~= 'hash' then return {'exists', '', queue, 0, '', 0, -1, '', '', ''} end
  local f = read('rq:job:' .. job, {'status', 'origin', 'meta', 'data', 'unikat', 'unikat_deadline'})
  local place, left = 0, ''
  if f[1] == 'queued' then place = call('LPOS', 'rq:queue:' .. (f[2] or queue), job) or 0 end
  if f[6] then left = string.format('%.3f', tonumber(f[6]) - tonumber(redis_time())) end
  local number, code = stream_end('unikat:stream:' .. job)
  return {'exists', f[1] or '', f[2] or queue, place, f[3] or '', number, code, left, f[4] or '', f[5] or ''}
end

local function add(job, model, queue, member, limit_s)
  local before = waiting_of(model)
  if before >= limit then return {'full', before} end
  call('DEL', 'unikat:stream:' .. job) -- of a job of this id that has expired: it may have been for something else
  hash[2] = 'rq:job:' .. job
  for i, field in ipairs({'data', 'description', 'meta', 'unikat'}) do
    hash[own + 2 * i - 1], hash[own + 2 * i] = field, ARGV[at + 4 + i]
  end
  hash[own + 9], hash[own + 10] = 'origin', queue
  local last = own + 10
  if limit_s ~= '' then
    last = own + 12
    hash[own + 11] = 'unikat_deadline'
    hash[last] = string.format('%.3f', tonumber(redis_time()) + tonumber(limit_s))
  end
  call(unpack(hash, 1, last))
  lease(job, member)
  later({'RPUSH', 'rq:queue:' .. queue}, job)
  waiting[model] = before + 1
  if not model_of[queue] then
    model_of[queue] = model
    queues[#queues + 1] = queue
    call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  end
  return {'queued', before}
end

while at <= #ARGV do
  local job, model, queue, member, limit_s = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local found = kind('rq:job:' .. job)
  if found == 'none' then
    out[#out + 1] = add(job, model, queue, member, limit_s)
  else
    flush() -- it may be one of these
    lease(job, member)
    out[#out + 1] = existing(job, queue, found)
  end
  at = at + 9
end
flush()
for _, queue in ipairs(queues) do
  local model = model_of[queue]
  if model ~= '' then
    call('SADD', 'unikat:queues:' .. model, queue)
    ring(model, queue)
  end
end
return out
