import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: {
      "@keyheads/native": at("native/load.ts"),
      "@keyheads/report": at("packages/report/src/index.ts"),
      "@keyheads/models": at("packages/models/src/index.ts"),
      keyheads: at("packages/keyheads/src/index.ts"),
    },
  },
  test: {
    include: ["test/**/*.test.ts"],
    // One engine owns the CPUs: files that load it must not run beside each other.
    fileParallelism: false,
    testTimeout: 60_000,
  },
});
