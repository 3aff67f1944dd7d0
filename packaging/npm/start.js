#!/usr/bin/env node
// Starts the program of this platform, which npm installed as an optional dependency, and ends as it ends.
"use strict";
const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const platform = `${process.platform}-${process.arch}`;
let program;
try {
  program = require.resolve(`atelier-heartbeat-${platform}/bin/atelier-heartbeat`);
} catch {
  console.error(`atelier-heartbeat: no program for ${platform} is installed. Was npm run with --omit=optional?`);
  process.exit(78);
}
const child = spawn(program, process.argv.slice(2), { stdio: "inherit" });
// The terminal sends SIGINT to both; a scheduler sends SIGTERM to this process alone.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => signal !== "SIGINT" && child.kill(signal));
}
child.on("error", (error) => {
  console.error(`atelier-heartbeat: ${error.message}`);
  process.exit(78);
});
child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
