/** Tells the story and checks it: what is printed with a tick was compared with what is really in the databases. */
import { Console, Effect, Ref } from "effect"
import { isDeepStrictEqual, styleText } from "node:util"

type Style = Parameters<typeof styleText>[0]

const paint = (style: Style, text: string) => (process.stdout.isTTY ? styleText(style, text) : text)

const mistakes = Ref.unsafeMake(0)

/** How many checks have failed so far. */
export const wrong = Ref.get(mistakes)

/** A new part begins. */
export const chapter = (title: string) => Console.log(`\n${paint("bold", title)}`)

/** What happens. */
export const say = (...lines: ReadonlyArray<string>) =>
  Console.log(lines.map((line) => (line === "" ? "" : `   ${line}`)).join("\n"))

/** What must be so. */
export const check = <A>(what: string, found: A, expected: A) =>
  isDeepStrictEqual(found, expected)
    ? Console.log(`   ${paint("green", "✓")} ${what.padEnd(40)} ${show(found)}`)
    : Ref.update(mistakes, (n) => n + 1).pipe(
        Effect.zipRight(
          Console.log(`   ${paint("red", "✗")} ${what.padEnd(40)} ${show(found)}, but should be ${show(expected)}`)
        )
      )

const show = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? Object.entries(value)
        .map(([key, entry]) => `${key} ${show(entry)}`)
        .join(", ")
    : String(value)
