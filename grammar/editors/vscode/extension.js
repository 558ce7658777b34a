// Starts `mmhc lsp` for `.mmh` files. All that the editor shows comes from there.
const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const command = vscode.workspace.getConfiguration("mmh").get("path") || "mmhc";
  const server = { command, args: ["lsp"] };
  const options = {
    documentSelector: [{ language: "mmh" }],
    synchronize: { fileEvents: vscode.workspace.createFileSystemWatcher("**/*.{mmh,csv,lock}") },
  };
  client = new LanguageClient("mmh", "MMH", { run: server, debug: server }, options);
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    const chosen = await vscode.window.showErrorMessage(
      `\`${command} lsp\` does not start: ${error.message}. Install mmhc, or say in the settings where it is.`,
      "Open Settings",
    );
    if (chosen) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "mmh.path");
    }
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

async function activate(context) {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("mmh.restart", restart),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration("mmh.path")) {
        restart();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
