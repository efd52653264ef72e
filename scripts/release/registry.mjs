// A package registry on this machine's loopback address that knows the release's packages and
// nothing else, so that they are installed as they will be, without any network.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

/**
 * @param releases [{ manifest, tarball? }]: without a tarball a package is known (its `os` and `cpu`
 *   say that it is for another system) but cannot be fetched
 * @returns { url, unknown, close }: `unknown` lists what was asked for in vain
 */
export async function startRegistry(releases) {
  const unknown = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname).slice(1);
    const [name, file] = path.split("/-/");
    const found = releases.filter(({ manifest }) => manifest.name === name);
    const one = found.find(({ manifest }) => file === fileName(manifest));
    if (file && one?.tarball) return void response.end(readFileSync(one.tarball));
    if (!file && found.length > 0) {
      response.setHeader("content-type", "application/json");
      return void response.end(JSON.stringify(packument(name, found, url)));
    }
    unknown.push(path);
    response.statusCode = 404;
    return void response.end("{}");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;
  return { url, unknown, close: () => new Promise((resolve) => server.close(resolve)) };
}

const fileName = ({ name, version }) => `${name.split("/").at(-1)}-${version}.tgz`;

/** What npm calls the description of all versions of a package. */
function packument(name, found, url) {
  const versions = found.map(({ manifest, tarball }) => {
    const dist = { tarball: `${url}${name}/-/${fileName(manifest)}`, ...digests(tarball) };
    return [manifest.version, { ...manifest, _id: `${name}@${manifest.version}`, dist }];
  });
  const latest = found.at(-1).manifest.version;
  const time = Object.fromEntries(versions.map(([version]) => [version, "2026-01-01T00:00:00Z"]));
  return { name, "dist-tags": { latest }, versions: Object.fromEntries(versions), time };
}

function digests(tarball) {
  const bytes = tarball ? readFileSync(tarball) : Buffer.alloc(0);
  return {
    shasum: createHash("sha1").update(bytes).digest("hex"),
    integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
  };
}
