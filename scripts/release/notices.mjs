// The licences of everything of others that is in a package.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { haveLibxsmm } from "../lib/libxsmm.mjs";
import { root, StepError } from "../lib/process.mjs";

const licences = (name) =>
  readFileSync(join(root, "scripts/release/licences", `${name}.txt`), "utf8");

/** Writes the notices of the npm packages among the files that were bundled. */
export function writeNotices(path, inputs) {
  const folders = new Set(inputs.flatMap((input) => packageFolder(join(root, input)) ?? []));
  const sections = [...folders].map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    if (!file) throw new StepError(`${name} ${version} (${license}) has no licence file`);
    const text = readFileSync(join(folder, file), "utf8");
    return { title: `${name} ${version}`, note: license, text };
  });
  write(path, "The JavaScript in this package contains these packages.", sections);
}

/** @param file path of a bundled file; undefined for the workspace's own */
function packageFolder(file) {
  if (!file.includes("node_modules")) return undefined;
  let folder = dirname(file);
  for (;;) {
    const manifest = join(folder, "package.json");
    // Folders inside a package may have a package.json that only says how modules are read.
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).version) return folder;
    folder = dirname(folder);
  }
}

/** Writes the notices of what is linked into an addon. */
export function writeAddonNotices(path, { libxsmm = haveLibxsmm(), runtime }) {
  const parts = [
    { title: "node-addon-api", note: "MIT", text: readAddonApi() },
    ...(libxsmm ? [{ title: "libxsmm", note: "BSD-3-Clause", text: licences("libxsmm") }] : []),
    ...(runtime === "mingw"
      ? [
          {
            title: "MinGW-w64 runtime and winpthreads",
            note: "ZPL-2.1, MIT and others",
            text: licences("mingw-w64"),
          },
        ]
      : []),
    ...(runtime === "gcc" || runtime === "mingw"
      ? [
          {
            title: "libstdc++ and libgcc",
            note: "GPL-3.0-or-later with the GCC Runtime Library Exception 3.1",
            text: licences("gcc-runtime"),
          },
        ]
      : []),
    ...(runtime === "llvm"
      ? [
          {
            title: "libc++, libc++abi, libunwind and compiler-rt",
            note: "Apache-2.0 with LLVM Exceptions",
            text: licences("llvm-runtime"),
          },
        ]
      : []),
  ];
  write(path, "The addon in this package contains these libraries.", parts);
}

/** Writes the notices of what is linked into the CUDA library. */
export function writeCudaNotices(path) {
  write(path, "The library in this package contains these libraries.", [
    {
      title: "NVIDIA CUDA Runtime",
      note: "NVIDIA CUDA Toolkit End User License Agreement",
      text: licences("cuda-runtime"),
    },
    {
      title: "libstdc++ and libgcc",
      note: "GPL-3.0-or-later with the GCC Runtime Library Exception 3.1",
      text: licences("gcc-runtime"),
    },
  ]);
}

const readAddonApi = () =>
  readFileSync(join(root, "native/node_modules/node-addon-api/LICENSE.md"), "utf8");

function write(path, introduction, sections) {
  const sorted = sections.sort((a, b) => a.title.localeCompare(b.title));
  const parts = sorted.map(
    ({ title, note, text }) => `## ${title}\n\n${note}\n\n\`\`\`\n${text.trim()}\n\`\`\`\n`,
  );
  writeFileSync(path, `# Third-party notices\n\n${introduction}\n\n${parts.join("\n")}`);
}
