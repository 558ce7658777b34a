-- Run by Neovim, headless, for a recipe with an unknown setting: the lines of the documentation start the server, and the
-- editor's own client asks. Works from Neovim 0.7 on.

local function finish(word, status)
  io.stderr:write(word .. "\n")
  vim.cmd(status == 0 and "qa!" or "cq!")
end

local function must(found, what)
  if not found then
    error("not so: " .. what)
  end
  return found
end

local function request(buffer, method, params)
  local answers = must(vim.lsp.buf_request_sync(buffer, method, params, 20000), method .. " is answered")
  for _, answer in pairs(answers) do
    must(answer.error == nil, method .. " has no error")
    return answer.result
  end
end

local function position(buffer, pattern)
  for number, line in ipairs(vim.api.nvim_buf_get_lines(buffer, 0, -1, false)) do
    local column = line:find(pattern, 1, true)
    if column then
      return { line = number - 1, character = column }
    end
  end
  error("nowhere: " .. pattern)
end

local function scenario()
  local snippet = vim.fn.has("nvim-0.11") == 1 and vim.env.MMH_SNIPPET or vim.env.MMH_SNIPPET_BEFORE
  dofile(snippet)
  vim.cmd("edit " .. vim.fn.fnameescape(vim.env.MMH_RECIPE))
  local buffer = vim.api.nvim_get_current_buf()
  must(vim.bo[buffer].filetype == "mmh", "the file's type is known")
  local clients = vim.lsp.get_clients or vim.lsp.get_active_clients
  must(vim.wait(20000, function()
    return #clients() > 0
  end, 20), "the server starts")
  local client = clients()[1].id
  local document = { uri = vim.uri_from_bufnr(buffer) }
  local found
  must(vim.wait(20000, function()
    found = vim.diagnostic.get(buffer)
    return #found > 0
  end, 20), "a mistake is found")
  must(found[1].code == "setting::unknown" or found[1].user_data.lsp.code == "setting::unknown", "the code")

  local hover = request(buffer, "textDocument/hover", { textDocument = document, position = position(buffer, "conv(wide") })
  must(hover.contents.value:find("channel"), "hover names the axis")
  local hints = request(buffer, "textDocument/inlayHint", {
    textDocument = document,
    range = { start = { line = 0, character = 0 }, ["end"] = { line = 999, character = 0 } },
  })
  must(#hints >= 5, "hints")

  local at = position(buffer, "learning_rate")
  local actions = request(buffer, "textDocument/codeAction", {
    textDocument = document,
    range = { start = at, ["end"] = at },
    context = { diagnostics = {} },
  })
  vim.lsp.util.apply_workspace_edit(actions[1].edit, "utf-16")
  must(vim.wait(20000, function()
    return #vim.diagnostic.get(buffer) == 0
  end, 20), "the fix mends it")

  local renamed = request(buffer, "textDocument/rename", {
    textDocument = document,
    position = position(buffer, "residual"),
    newName = "twice",
  })
  vim.lsp.util.apply_workspace_edit(renamed, "utf-16")
  local text = table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, false), "\n")
  must(not text:find("residual") and text:find("repeat(depth, twice)", 1, true), "every place is renamed")
  must(vim.wait(20000, function()
    return #vim.diagnostic.get(buffer) == 0
  end, 20), "the recipe is still right")
  vim.lsp.stop_client(client)
end

local well, reason = xpcall(scenario, debug.traceback)
if well then
  finish("all well", 0)
else
  finish(reason, 1)
end
