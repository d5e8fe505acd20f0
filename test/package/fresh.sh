#!/usr/bin/env bash
# Installs the package as a user does: packs it, installs the tarball into a new TypeScript project, type-checks programs
# against it, runs them, and runs the command line. Needs npm's registry and a C++ compiler.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
project=$(mktemp -d)
trap 'rm -rf "$project"' EXIT

(cd "$root" && npm pack --silent --pack-destination "$project" >/dev/null)
cp "$here/program.ts" "$project"
cp "$here/tsconfig.fresh.json" "$project/tsconfig.json"
cd "$project"

# Versions are those that the package itself is tested with. npm 11 runs install scripts that are not allowed with a warning
# (11.19) or, with strict-allow-scripts, not at all; npm 10 does not know the field.
node --input-type=module - "$root" <<'JS'
import fs from "node:fs"
const root = process.argv[2]
const { dependencies, devDependencies, version } = JSON.parse(fs.readFileSync(`${root}/package.json`, "utf8"))
const pinned = { ...dependencies, ...devDependencies }
const pick = (...names) => Object.fromEntries(names.map((name) => [name, pinned[name]]))
const project = {
  name: "fresh",
  private: true,
  type: "module",
  allowScripts: { "better-sqlite3": true },
  dependencies: {
    applecart: `file:applecart-${version}.tgz`,
    ...pick("effect", "@effect/sql", "@effect/sql-sqlite-node")
  },
  devDependencies: pick("typescript", "@types/node")
}
fs.writeFileSync("package.json", JSON.stringify(project, null, 2))
// The README's code is one program, cut into pieces; what is no part of it (a test) is fenced as typescript.
const readme = fs.readFileSync(`${root}/README.md`, "utf8")
const code = Array.from(readme.matchAll(/^```ts\n([^]*?)^```$/gm), ([, block]) => block)
if (code.length === 0) throw new Error("README.md has no TypeScript")
fs.writeFileSync("readme.ts", code.join("\n"))
JS

npm install --no-audit --no-fund
npx --no-install tsc
node out/program.js
node out/readme.js
version=$(npx --no-install applecart --version)
echo "applecart --version: $version"
[[ $version == *"$(node -p "require('$root/package.json').version")"* ]]
