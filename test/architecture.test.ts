/** How the house is built (design, "The house"): who may import whom, what runs in a browser, how long a file gets. */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import ts from "typescript"

const source = path.join(import.meta.dirname, "..", "src")

/** A room imports only from itself and from those before it. */
const rooms = ["core", "store", "pipeline", "processors", "stream", "models"]

/** May import every room; nobody imports them, not even each other. */
const guests = ["testing", "cli"]

/** A model is what operations mean; when they are processed is not its business. */
const isApart = (from: string, to: string) => from === "models" && to === "stream"

const longest = 350

/** What only Node has. */
const nodeGlobals = new Set(["Buffer", "process", "require", "global", "setImmediate", "__dirname", "__filename"])

const isOutsideCore = (specifier: string) => /^(node:|@effect\/(sql|platform|cli|printer))/.test(specifier)

const roomOf = (file: string) => file.split("/")[0] ?? ""

const mayImport = (from: string, to: string): boolean => {
  if (from === to) return true
  if (guests.includes(to) || isApart(from, to)) return false
  if (guests.includes(from) || from === "index.ts") return rooms.includes(to)
  return rooms.includes(from) && rooms.includes(to) && rooms.indexOf(to) < rooms.indexOf(from)
}

const aboutImport = (file: string, specifier: string): ReadonlyArray<string> => {
  const room = roomOf(file)
  if (specifier === "effect") return [`${file} imports the barrel "effect"; import the module, "effect/…"`]
  if (!specifier.startsWith(".")) {
    return room === "core" && isOutsideCore(specifier) ? [`${file} imports ${specifier}; core is for browsers too`] : []
  }
  const target = path.posix.join(path.posix.dirname(file), specifier)
  if (!target.endsWith(".ts")) return [`${file} imports ${specifier} without its .ts`]
  return mayImport(room, roomOf(target)) ? [] : [`${file} imports ${target}, which is below it`]
}

/** What a file names: the modules it imports or exports from, and identifiers that are not just the name of a field. */
interface Named {
  readonly modules: Array<string>
  readonly names: Set<string>
}

const specifier = (node: ts.Node): ts.Node | undefined => {
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return node.moduleSpecifier
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return node.argument.literal
  const isImport = ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
  return isImport ? node.arguments[0] : undefined
}

const isGiven = (node: ts.Identifier): boolean =>
  "name" in node.parent && node.parent.name === node && !ts.isShorthandPropertyAssignment(node.parent)

const named = (text: string): Named => {
  const found: Named = { modules: [], names: new Set() }
  const visit = (node: ts.Node): void => {
    const module = specifier(node)
    if (module !== undefined && ts.isStringLiteral(module)) found.modules.push(module.text)
    if (ts.isIdentifier(node) && !isGiven(node)) found.names.add(node.text)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile("file.ts", text, ts.ScriptTarget.ES2022, true))
  return found
}

/** What is wrong with a file. `file`: its path below src. */
const violations = (file: string, text: string): ReadonlyArray<string> => {
  const lines = text.split("\n").length - 1
  const { modules, names } = named(text)
  const globals = roomOf(file) === "core" ? Array.from(nodeGlobals).filter((name) => names.has(name)) : []
  return [
    ...modules.flatMap((module) => aboutImport(file, module)),
    ...globals.map((name) => `${file} uses ${name}; core is for browsers too`),
    ...(lines > longest ? [`${file} has ${lines} lines; one concept fits into ${longest}`] : [])
  ]
}

const files = fs
  .readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((file) => file.split(path.sep).join("/"))
  .filter((file) => file.endsWith(".ts"))

describe("the house", () => {
  it("has no rooms but these", () => {
    const found = new Set(files.map(roomOf).filter((room) => room !== "index.ts"))
    const unknown = Array.from(found).filter((room) => !rooms.includes(room) && !guests.includes(room))
    assert.deepStrictEqual(unknown, [])
    for (const room of rooms) assert.isTrue(found.has(room), room)
  })

  it("is built as it is drawn", () => {
    assert.isAbove(files.length, 30)
    const wrong = files.flatMap((file) => violations(file, fs.readFileSync(path.join(source, file), "utf8")))
    assert.deepStrictEqual(wrong, [])
  })
})

describe("this test", () => {
  const cases: ReadonlyArray<readonly [file: string, text: string]> = [
    ["core/Hash.ts", `import { Inbox } from "../store/Inbox.ts"`],
    ["core/Hash.ts", `import type { SqlClient } from "@effect/sql/SqlClient"`],
    ["core/Hash.ts", `export * from "node:fs"`],
    ["core/Hash.ts", `export const load = () => import("@effect/platform/FileSystem")`],
    ["core/Hash.ts", `export const bytes = Buffer.from("")`],
    ["core/Hash.ts", `export type Path = import("node:path").PlatformPath`],
    ["core/internal/Hex.ts", `import * as Event from "../../pipeline/Event.ts"`],
    ["store/Inbox.ts", `export { make } from "../stream/StreamController.ts"`],
    ["stream/Work.ts", `import * as Faults from "../testing/SqlFaults.ts"`],
    ["cli/bin.ts", `import * as Faults from "../testing/SqlFaults.ts"`],
    ["index.ts", `export * as Cli from "./cli/bin.ts"`],
    ["models/Feed.ts", `import * as StreamController from "../stream/StreamController.ts"`],
    ["stream/Work.ts", `import * as Feed from "../models/Feed.ts"`],
    ["stream/Work.ts", `import { Effect } from "effect"`],
    ["stream/Work.ts", `import * as Inbox from "../store/Inbox.js"`],
    ["stream/Work.ts", "\n".repeat(351)]
  ]
  for (const [file, text] of cases) {
    it(`sees ${JSON.stringify(text.trim().slice(0, 60))} in ${file}`, () => assert.lengthOf(violations(file, text), 1))
  }

  it("sees nothing wrong where nothing is", () => {
    const text = `import * as Effect from "effect/Effect"\nimport * as Hash from "../core/Hash.ts"\nexport const process = Hash.process\n`
    assert.deepStrictEqual(violations("stream/Work.ts", text), [])
    assert.deepStrictEqual(violations("core/Hash.ts", `export const of = (x: { process: 1 }) => x.process\n`), [])
  })
})
