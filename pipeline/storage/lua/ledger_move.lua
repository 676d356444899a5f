-- Moves entries of the ledger from one state to the next, each only if it is still in a state that allows it.
-- (ledger_lease.lua says what an entry is.)
--
-- KEYS: the entry of each move; after it, where the move is to S, the notification's cancel mark.
-- ARGV: token, retention in ms, lease in ms; then for each move the states it may come from (3, filled with blanks), the
-- state it goes to (1), the new body, as one string: clients pack arguments slowly. L and S count only with our own token, X is anybody's sending whose time is up. An entry that is gone
-- (Redis was emptied) may always be written. A move that was made already, and whose answer got lost, is made again.
-- Answers for each: 1 moved, 0 refused, 2 refused because the cancel mark is set.
local token, retention, lease = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = string.format('%013d', now + lease)

local function allowed(entry, from, to)
  if not entry then
    return true
  end
  local state = string.sub(entry, 1, 1)
  if state == 'L' or state == 'S' then
    if string.sub(entry, 2, 17) == token and (state == to or string.find(from, state, 1, true)) then
      return true
    end
    return state == 'S' and string.find(from, 'X', 1, true) and tonumber(string.sub(entry, 18, 30)) <= now
  end
  return string.find(from, state, 1, true)
end

local heads = { L = 'L' .. token, S = 'S' .. token .. deadline, D = 'D', W = 'W', A = 'A' }
local answers = {}
local k = 1
for i = 4, #ARGV do
  local key, move = KEYS[k], ARGV[i]
  local from, to, body = string.sub(move, 1, 3), string.sub(move, 4, 4), string.sub(move, 5)
  k = k + 1
  local answer = 0
  if to == 'S' then
    if redis.call('EXISTS', KEYS[k]) == 1 then
      answer = 2
    end
    k = k + 1
  end
  if answer == 0 and allowed(redis.call('GET', key), from, to) then
    redis.call('SET', key, heads[to] .. body, 'PX', retention)
    answer = 1
  end
  answers[#answers + 1] = answer
end
return answers
