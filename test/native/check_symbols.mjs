// The kernels are compiled once per instruction set into one binary. If an object of v3 or v4
// defined a symbol that another object also defines (an inline function, a template), the linker
// would keep one of them, and an old processor could run into instructions that it does not have.
// So: such an object may define nothing but its own ops, in the namespace of its instruction set.
//
//   node test/native/check_symbols.mjs [build folder]
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const build = process.argv[2] ?? "native/build";

/** Names that the object defines and other objects can see: global, weak and unique ones. */
function definedSymbols(object) {
  const listing = execFileSync("nm", ["--defined-only", "--extern-only", "--demangle", object], {
    encoding: "utf8",
  });
  return listing
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^[0-9a-f]* +. /, ""));
}

let objects = 0;
const foreign = [];
for (const isa of ["v2", "v3", "v4"]) {
  const folder = join(build, "CMakeFiles", `ops_${isa}.dir`, "src", "ops");
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".o"))) {
    objects += 1;
    for (const symbol of definedSymbols(join(folder, file))) {
      if (!symbol.startsWith(`keyheads::ops::${isa}::`)) foreign.push(`${isa} ${file}: ${symbol}`);
    }
  }
}

if (objects === 0) throw new Error(`no kernel objects under ${build}; build the addon first`);
for (const line of foreign) console.error(`not in its own namespace: ${line}`);
console.log(`${objects} kernel objects, ${foreign.length} symbols outside their namespace`);
process.exitCode = foreign.length === 0 ? 0 : 1;
