-- The wrk half of bench.py: which request goes out next, and the figures at the end.
--
-- Arguments: SCENARIO PLAN SEED LIMIT. PLAN is a file of `kind<TAB>text` lines that bench.py wrote: `get`, `list` and
-- `search` give a path each, `header` a header of every request, `create` the path, `create-header` a header and `body` the text
-- of creations, in which {n} stands for a number of its own per request. `vote` and `comment` are paths to vote and to
-- comment at. LIMIT requests end the run early.

local ffi = require("ffi")
ffi.cdef("int kill(int, int); int getpid(void);")

local reads = { get = {}, list = {}, search = {} }
local places = { vote = {}, comment = {} }
local first = 0
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
    elseif places[kind] then table.insert(places[kind], text)
    else table.insert(reads[kind], text) end
  end
  -- Formatted once: what is left per request is a random number and a table look-up.
  for _, paths in pairs(reads) do
    for i, path in ipairs(paths) do paths[i] = wrk.format("GET", path, common) end
  end
  math.randomseed(tonumber(seed, 16))
  first = math.random(1000000)
end

local function read(kind)
  local requests = reads[kind]
  return requests[math.random(#requests)]
end

local function create()
  creation.headers["Idempotency-Key"] = "bench-" .. seed .. "-" .. sent
  return wrk.format("POST", creation.path, creation.headers, (creation.body:gsub("{n}", seed .. " " .. sent)))
end

-- Casts a vote for one product, then takes back the one cast many votes ago: by then it was answered.
local LAG = 500
local function vote()
  local turn = math.floor(sent / 2)
  local method = sent % 2 == 0 and "PUT" or "DELETE"
  if method == "DELETE" then turn = turn - LAG end
  local path = places.vote[(first + turn) % #places.vote + 1]
  return wrk.format(method, path, creation.headers)
end

local function comment()
  creation.path = places.comment[math.random(#places.comment)]
  return create()
end

local other = { create = create, upvote = vote, comment = comment }

function request()
  sent = sent + 1
  -- wrk knows no limit but time; an interrupt makes it stop now and still report.
  if sent >= limit then ffi.C.kill(ffi.C.getpid(), 2) end
  if other[scenario] then return other[scenario]() end
  if scenario ~= "mixed" then return read(scenario) end
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
