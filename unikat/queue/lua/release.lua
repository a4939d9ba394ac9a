-- Gives up leases of calls on jobs. A lease of a service whose inbox has expired counts no more.
-- ARGV: seconds that results are kept which nobody waits for, seconds that ended streams are kept, then for each lease:
-- job, lease, how, number behind which the stream is complete, status.
--   'done': the caller has the end. The last one to say so shortens the time for which the results are kept.
--   'left': the caller may come back, the job goes on.
--   'gone': nobody comes back. The last one to say so ends the stream with the status; its images go at once.
-- What a job was charged is given back with its last lease, unless results are kept for somebody who may come back.
-- Returns for each lease 1 if it ended the stream, else 0.
local short, kept, out = tonumber(ARGV[1]), ARGV[2], {}

local function others(job, mine)
  local leases, found = 'unikat:calls:' .. job, 0
  call('SREM', leases, mine)
  local caller = string.match(mine, '^[^/]+/[^/]+/(.+)$')
  if caller then call('ZREM', 'unikat:open:' .. caller, mine) end
  for _, lease in ipairs(call('SMEMBERS', leases)) do
    if call('EXISTS', 'unikat:inbox:' .. string.match(lease, '^[^/]+')) == 1 then
      found = found + 1
    else
      call('SREM', leases, lease)
    end
  end
  return found
end

local function shorten(job)
  local f = call('HMGET', 'rq:job:' .. job, 'status', 'origin')
  if f[1] ~= 'finished' then return end
  for _, key in ipairs({'rq:job:' .. job, 'rq:results:' .. job, 'unikat:stream:' .. job}) do
    call('EXPIRE', key, short)
  end
  later({'ZADD', 'rq:finished:' .. f[2], 'XX'}, math.floor(tonumber(redis_time())) + short, job)
end

-- A job that waits is cancelled as RQ does it, with an expiry: RQ itself keeps cancelled jobs for good. One that a worker
-- has begun is left to it: it finds the stream ended.
local function cancel(job, key, origin)
  if call('LREM', 'rq:queue:' .. origin, 1, job) == 0 then return end
  call('HSET', key, 'status', 'canceled')
  for _, each in ipairs({key, key .. ':dependents', key .. ':dependencies'}) do call('EXPIRE', each, kept) end
  later({'ZADD', 'rq:canceled:' .. origin}, math.floor(tonumber(redis_time())), job)
end

local function close(job, complete, status)
  local stream, key = 'unikat:stream:' .. job, 'rq:job:' .. job
  local f = call('HMGET', key, 'status', 'origin')
  local number, code = stream_end(stream)
  if not f[1] or code ~= -1 or number > complete then return 0 end
  call('XADD', stream, 'MAXLEN', 1, END, 's', status)
  call('EXPIRE', stream, kept)
  if f[1] == 'queued' and f[2] then cancel(job, key, f[2]) end
  return 1
end

for at = 3, #ARGV, 5 do
  local job, how, ended = ARGV[at], ARGV[at + 2], 0
  if others(job, ARGV[at + 1]) == 0 then
    if how == 'gone' then ended = close(job, tonumber(ARGV[at + 3]), ARGV[at + 4]) end
    -- Without a request_id (calls.py), nobody can come back.
    local is_over = how == 'done' or (how == 'gone' and string.sub(job, 1, 2) == 'c-')
    if is_over then shorten(job) end
    if is_over or ended > 0 then refund(job, tonumber(kept)) end
  end
  out[#out + 1] = ended
end
flush()
settle_budgets(tonumber(kept))
return out
