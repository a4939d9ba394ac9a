-- Takes jobs and begins them as RQ does: of each model in turn, and of a model's queues in turn.
-- ARGV: most, worker, now (as RQ writes times), now (s), seconds in RQ's registries, n, n model keys, execution ids.
-- A model key of '' stands for the queue `unikat`, into which services of the release before put jobs of all models.
-- Returns {Redis' time, whether jobs are left, jobs}; a job is {id, queue, execution, data, extra, deadline, attempts,
-- crashes, last entry's number, code of its end, seconds that its result is kept, foreign}. `foreign`: 1 for a job that RQ
-- itself has to settle (it repeats, has a rate limit, or its result is kept for ever or not at all), 2 for one with
-- callbacks.
local most, worker, text, now, ttl = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local models, score = tonumber(ARGV[6]), math.floor(tonumber(ARGV[4])) + tonumber(ARGV[5])
local jobs = {}
local WAITING = {queued = true, created = true, started = true, scheduled = true}
local FIELDS = {
  'status', 'data', 'unikat', 'unikat_deadline', 'unikat_attempts', 'unikat_crashes', 'result_ttl', 'repeats_left',
  'rate_limit_key', 'success_callback_name', 'failure_callback_name', 'stopped_callback_name', 'webhooks', 'exc_info',
}

local function foreign(f)
  for i = 10, 13 do
    if f[i] and f[i] ~= '' then return 2 end
  end
  if (tonumber(f[7] or '') or 0) < 1 or f[8] or f[9] then return 1 end
  return 0
end

local function begin(id, queue)
  local key = 'rq:job:' .. id
  local f = redis.pcall('HMGET', key, unpack(FIELDS)) -- a read, of which only the key's type can be wrong
  if f.err or not f[2] or not WAITING[f[1] or ''] then return end
  local stream = 'unikat:stream:' .. id
  local number, code = stream_end(stream)
  if code > -1 and f[14] then -- `rq requeue`: nobody else leaves `exc_info`. How it ended before counts no more.
    call('DEL', stream)
    call('HDEL', key, 'exc_info', 'unikat_deadline', 'unikat_crashes', 'unikat_crashed_at')
    number, code, f[4], f[6] = 0, -1, '', '0'
  end
  local execution = ARGV[6 + models + #jobs + 1]
  local member, attempts = id .. ':' .. execution, (tonumber(f[5] or '0') or 0) + 1
  call('HSET', key, 'last_heartbeat', text, 'status', 'started', 'started_at', text, 'worker_name', worker,
    'unikat_attempts', attempts)
  call('PERSIST', key)
  call('HSET', 'rq:execution:' .. member, 'id', execution, 'job_id', id, 'created_at', now, 'last_heartbeat', now,
    'worker_name', worker)
  call('EXPIRE', 'rq:execution:' .. member, ttl)
  call('ZADD', 'rq:executions:' .. id, score + 60, execution)
  call('EXPIRE', 'rq:executions:' .. id, ttl + 60)
  later({'ZADD', 'rq:wip:' .. queue}, score, member)
  later({'SADD', 'rq:worker:' .. worker .. ':executions'}, member)
  jobs[#jobs + 1] = {
    id, queue, execution, f[2], f[3] or '', f[4] or '', attempts, tonumber(f[6] or '0') or 0, number, code,
    tonumber(f[7] or '') or 0, foreign(f),
  }
end

-- Takes a job, or where nobody else waits for a turn, at most `most`; how many, 0 if the model has none.
local function take_some(model, most)
  local turns, queue = 'unikat:turns:' .. model, 'unikat'
  if model ~= '' then
    queue = call('LPOP', turns)
    if not queue then return 0 end
    if most > 1 and call('EXISTS', turns) == 1 then most = 1 end
  end
  local ids = call('LPOP', 'rq:queue:' .. queue, most) or {}
  if model ~= '' and call('EXISTS', 'rq:queue:' .. queue) == 1 then call('RPUSH', turns, queue) end
  for _, id in ipairs(ids) do begin(id, queue) end
  if model == '' then return #ids end
  return math.max(1, #ids) -- an empty queue had a turn, too
end

local dry, active, looks = {}, models, most + 256 -- what is no job any more is thrown away, some at a time
while #jobs < most and active > 0 and looks > 0 do
  for i = 1, models do
    if #jobs < most and not dry[i] then
      local found = take_some(ARGV[6 + i], active == 1 and most - #jobs or 1)
      looks = looks - math.max(1, found)
      if found == 0 then
        dry[i] = true
        active = active - 1
      end
    end
  end
end
flush()

if #jobs > 0 then call('EXPIRE', 'rq:worker:' .. worker .. ':executions', ttl) end

local left = 0
for i = 1, models do
  local model = ARGV[6 + i]
  if model == '' then
    if call('EXISTS', 'rq:queue:unikat') == 1 then left = 1 end
  elseif call('EXISTS', 'unikat:turns:' .. model) == 1 then
    left = 1
    if call('EXISTS', 'unikat:bell:' .. model) == 0 then call('RPUSH', 'unikat:bell:' .. model, '1') end
  else
    call('DEL', 'unikat:bell:' .. model)
  end
end
return {redis_time(), left, jobs}
