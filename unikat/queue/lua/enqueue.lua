-- Adds draw jobs to their queues; for a job that is there already, only takes the lease.
-- ARGV: jobs that may wait for a model, seconds a lease is kept, then for each job: its id, model key, queue, lease, time
-- limit (s, '' none), n, and n fields and values of its hash.
-- A model key of '' stands for the queue `unikat`, from which workers of the release before take jobs of all models.
-- Returns for each job {'queued', jobs before it}, {'full', jobs that wait} or
-- {'exists', status, queue, place in it, meta, last entry's number, code of its end, seconds until its deadline, data,
-- extra}.
local limit, lease_ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local waiting, out, at = {}, {}, 3

local function waiting_of(model)
  if model == '' then return call('LLEN', 'rq:queue:unikat') end
  if not waiting[model] then
    local total = 0
    for _, queue in ipairs(call('LRANGE', 'unikat:turns:' .. model, 0, -1)) do
      total = total + call('LLEN', 'rq:queue:' .. queue)
    end
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
  local f = call('HMGET', 'rq:job:' .. job, 'status', 'origin', 'meta', 'data', 'unikat', 'unikat_deadline')
  local place, left = 0, ''
  if f[1] == 'queued' then place = call('LPOS', 'rq:queue:' .. (f[2] or queue), job) or 0 end
  if f[6] then left = string.format('%.3f', tonumber(f[6]) - tonumber(redis_time())) end
  local number, code = stream_end('unikat:stream:' .. job)
  return {'exists', f[1] or '', f[2] or queue, place, f[3] or '', number, code, left, f[4] or '', f[5] or ''}
end

while at <= #ARGV do
  local job, model, queue, member, limit_s = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local fields = tonumber(ARGV[at + 5]) * 2
  local first = at + 6
  at = first + fields
  local key = 'rq:job:' .. job
  local found = kind(key)
  if found ~= 'none' then
    lease(job, member)
    out[#out + 1] = existing(job, queue, found)
  elseif waiting_of(model) >= limit then
    out[#out + 1] = {'full', waiting_of(model)}
  else
    local before = waiting_of(model)
    call('DEL', 'unikat:stream:' .. job) -- of a job of this id that has expired: it may have been for something else
    call('HSET', key, unpack(ARGV, first, at - 1))
    if limit_s ~= '' then
      call('HSET', key, 'unikat_deadline', string.format('%.3f', tonumber(redis_time()) + tonumber(limit_s)))
    end
    lease(job, member)
    call('SADD', 'rq:queues', 'rq:queue:' .. queue)
    call('RPUSH', 'rq:queue:' .. queue, job)
    if model ~= '' then
      call('SADD', 'unikat:queues:' .. model, queue)
      ring(model, queue)
      waiting[model] = before + 1
    end
    out[#out + 1] = {'queued', before}
  end
end
return out
