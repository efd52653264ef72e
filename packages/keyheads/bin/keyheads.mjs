#!/usr/bin/env node
// Older Node versions cannot even parse the program: tell them before it is loaded.
const oldest = [20, 19];
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < oldest[0] || (major === oldest[0] && minor < oldest[1])) {
  process.stderr.write(
    `error: keyheads needs Node ${oldest.join(".")} or newer, and this is ${process.version}\n` +
      "  install a newer one from https://nodejs.org or with a version manager\n",
  );
  process.exit(3);
}
import("../dist/cli/main.js");
