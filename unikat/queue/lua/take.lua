-- Takes jobs and begins them as RQ does: of each model in turn, and of a model's queues in turn.
-- ARGV: most, worker, seconds in RQ's registries, n, n model keys, execution ids.
-- Returns {Redis' time, whether jobs are left, jobs}; `begin` says what a job is.
local most, worker, ttl = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local models, jobs = tonumber(ARGV[4]), {}

local function add(id, queue)
  jobs[#jobs + 1] = begin(id, queue, ARGV[4 + models + #jobs + 1], worker, ttl)
end

-- Takes a job, or where nobody else waits for a turn, at most `most`; how many, 0 if the model has none.
local function take_some(model, most)
  local turns = 'unikat:turns:' .. model
  local queue = call('LPOP', turns)
  if not queue then return 0 end
  if most > 1 and call('EXISTS', turns) == 1 then most = 1 end
  local ids = call('LPOP', 'rq:queue:' .. queue, most) or {}
  if call('EXISTS', 'rq:queue:' .. queue) == 1 then call('RPUSH', turns, queue) end
  for _, id in ipairs(ids) do add(id, queue) end
  return math.max(1, #ids) -- an empty queue had a turn, too
end

local dry, active, looks = {}, models, most + 256 -- what is no job any more is thrown away, some at a time
while #jobs < most and active > 0 and looks > 0 do
  for i = 1, models do
    if #jobs < most and not dry[i] then
      local found = take_some(ARGV[4 + i], active == 1 and most - #jobs or 1)
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
  local model = ARGV[4 + i]
  if call('EXISTS', 'unikat:turns:' .. model) == 1 then
    left = 1
    if call('EXISTS', 'unikat:bell:' .. model) == 0 then call('RPUSH', 'unikat:bell:' .. model, '1') end
  else
    call('DEL', 'unikat:bell:' .. model)
  end
end
return {redis_time(), left, jobs}
