-- Queues into which RQ put jobs by itself (retries, `rq requeue`) take part in the turns of their models again; queues
-- that are empty and have nothing in RQ's registries are forgotten.
-- ARGV: model key. Returns the jobs that wait.
local model, waiting = ARGV[1], 0
for _, queue in ipairs(call('SMEMBERS', 'unikat:queues:' .. model)) do
  local jobs = call('LLEN', 'rq:queue:' .. queue)
  waiting = waiting + jobs
  if jobs > 0 then
    ring(model, queue)
  elseif call('EXISTS', 'rq:queue:' .. queue .. ':intermediate', 'rq:wip:' .. queue, 'rq:failed:' .. queue, 'rq:scheduled:' .. queue,
    'rq:finished:' .. queue, 'rq:canceled:' .. queue, 'rq:deferred:' .. queue) == 0 then
    call('SREM', 'unikat:queues:' .. model, queue)
    call('SREM', 'rq:queues', 'rq:queue:' .. queue)
    call('DEL', 'rq:workers:' .. queue) -- workers that were killed have not left it
  end
end
return waiting
