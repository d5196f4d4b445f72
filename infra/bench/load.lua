-- The wrk half of bench.py: which request goes out next, and the figures at the end.
--
-- Arguments: SCENARIO PLAN SEED LIMIT. PLAN is a file of `kind<TAB>text` lines that bench.py wrote: `get` and `list`
-- give a path each, `header` a header of every request, `create` the path, `create-header` a header and `body` the text
-- of creations, in which {n} stands for a number of its own per request. LIMIT requests end the run early.

local ffi = require("ffi")
ffi.cdef("int kill(int, int); int getpid(void);")

local reads = { get = {}, list = {} }
local common, creation = {}, { path = nil, headers = {}, body = "" }
local scenario, seed, limit, sent = "get", "0", math.huge, 0

function init(args)
  scenario, seed, limit = args[1], args[3], tonumber(args[4])
  for line in io.lines(args[2]) do
    local kind, text = line:match("^([^\t]+)\t(.*)$")
    local name, value = text:match("^([^:]+):%s*(.*)$")
    if kind == "header" then common[name], creation.headers[name] = value, value
    elseif kind == "create-header" then creation.headers[name] = value
    elseif kind == "create" then creation.path = text
    elseif kind == "body" then creation.body = text
    else table.insert(reads[kind], text) end
  end
  -- Formatted once: what is left per request is a random number and a table look-up.
  for _, paths in pairs(reads) do
    for i, path in ipairs(paths) do paths[i] = wrk.format("GET", path, common) end
  end
  math.randomseed(tonumber(seed, 16))
end

local function read(kind)
  local requests = reads[kind]
  return requests[math.random(#requests)]
end

local function create()
  creation.headers["Idempotency-Key"] = "bench-" .. seed .. "-" .. sent
  return wrk.format("POST", creation.path, creation.headers, (creation.body:gsub("{n}", seed .. " " .. sent)))
end

function request()
  sent = sent + 1
  -- wrk knows no limit but time; an interrupt makes it stop now and still report.
  if sent >= limit then ffi.C.kill(ffi.C.getpid(), 2) end
  if scenario ~= "mixed" then return scenario == "create" and create() or read(scenario) end
  local draw = math.random(100)
  if draw <= 50 then return read("list") elseif draw <= 90 then return read("get") else return create() end
end

function done(summary, latency)
  local errors = summary.errors
  local figures = '"requests":%d,"seconds":%.6f,"bytes":%d,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d,"timed_out":%d'
  io.write(string.format("\nRESULT {" .. figures .. "}\n",
    summary.requests, summary.duration / 1e6, summary.bytes,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
