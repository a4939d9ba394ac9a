-- Adds draw jobs to their queues; for a job that is there already, only takes the lease.
-- ARGV: jobs that may wait for a model, seconds a lease is kept, then for each job: its id, model key, queue, lease, time
-- limit (s, '' none), n, and n fields and values of its hash.
-- Returns for each job {'queued', jobs before it}, {'full', jobs that wait} or
-- {'exists', status, meta, data, place in the queue, last entry's number, code of its end, extra, deadline}.
local limit, lease_ttl = tonumber(ARGV[1]), tonumber(ARGV[2])
local waiting, out, at = {}, {}, 3

local function waiting_of(model)
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
  call('SADD', 'unikat:leases:' .. job, member)
  call('EXPIRE', 'unikat:leases:' .. job, lease_ttl)
end

local function existing(job, queue)
  local f = call('HMGET', 'rq:job:' .. job, 'status', 'meta', 'data', 'unikat', 'unikat_deadline', 'origin')
  local place = 0
  if f[1] == 'queued' then place = call('LPOS', 'rq:queue:' .. (f[6] or queue), job) or 0 end
  local number, code = stream_end('unikat:stream:' .. job)
  return {'exists', f[1] or '', f[2] or '', f[3] or '', place, number, code, f[4] or '', f[5] or ''}
end

while at <= #ARGV do
  local job, model, queue, member, limit_s = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local fields = tonumber(ARGV[at + 5]) * 2
  local first = at + 6
  at = first + fields
  local key = 'rq:job:' .. job
  if call('EXISTS', key) == 1 then
    lease(job, member)
    out[#out + 1] = existing(job, queue)
  elseif waiting_of(model) >= limit then
    out[#out + 1] = {'full', waiting_of(model)}
  else
    call('HSET', key, unpack(ARGV, first, at - 1))
    if limit_s ~= '' then
      call('HSET', key, 'unikat_deadline', string.format('%.3f', tonumber(redis_time()) + tonumber(limit_s)))
    end
    lease(job, member)
    call('SADD', 'rq:queues', 'rq:queue:' .. queue)
    call('SADD', 'unikat:queues:' .. model, queue)
    call('RPUSH', 'rq:queue:' .. queue, job)
    ring(model, queue)
    out[#out + 1] = {'queued', waiting_of(model)}
    waiting[model] = waiting_of(model) + 1
  end
end
return out
