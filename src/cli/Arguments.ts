/**
 * Brings the arguments into the one order that the parser reads without doubt: the verb, its options, `--`, the rest.
 *
 * So `--db FILE` and `--json` may stand before the verb, a value may be called like a verb, and options may follow a lone
 * `-`.
 */

/** Options that take a value. All others are switches. */
const valued = new Set([
  "--db",
  "--key",
  "--topic",
  "--author",
  "--out",
  "-o",
  "--limit",
  "--why",
  "--older-than",
  "--up-to",
  "--after",
  "--consumer",
  "--from",
  "--to",
  "--into",
  "--accepted-since",
  "--accepted-until",
  "--written-since",
  "--written-until",
  "--log-level",
  "--completions"
])

/** The arguments in order, and whether programs read the output. */
export interface Arguments {
  readonly args: ReadonlyArray<string>
  readonly json: boolean
}

/** Reads what follows the program's name on the command line. */
export const read = (argv: ReadonlyArray<string>): Arguments => {
  const options: Array<string> = []
  const words: Array<string> = []
  for (let at = 0; at < argv.length; at++) {
    const arg = argv[at] ?? ""
    if (arg === "--") {
      words.push(...argv.slice(at + 1))
      break
    }
    const equals = arg.startsWith("--") ? arg.indexOf("=") : -1
    const name = equals < 0 ? arg : arg.slice(0, equals)
    if (!arg.startsWith("-") || arg === "-") words.push(arg)
    else if (!valued.has(name)) options.push(arg)
    else if (equals >= 0) options.push(name, arg.slice(equals + 1))
    else options.push(name, ...argv.slice(++at, at + 1))
  }
  const [verb, ...rest] = words
  return {
    args: [...(verb === undefined ? [] : [verb]), ...options, ...(rest.length === 0 ? [] : ["--", ...rest])],
    json: options.includes("--json")
  }
}
