/** What there is to take in: a generated history, in an order that nobody chose, some of it twice. */
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import { PCGRandom } from "effect/Utils"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Crypto from "../../../src/core/Crypto.ts"
import type * as Topic from "../../../src/core/Topic.ts"
import * as History from "../../../src/testing/History.ts"
import * as Program from "./Program.ts"

export interface Work {
  readonly history: History.History
  readonly topic: Topic.Topic
  readonly forks: boolean
  /** Where it is written down for the program; in another order for each process that there is. */
  readonly files: ReadonlyArray<string>
}

/** Where files are: memory where the system has it, since a killed process loses nothing in either. */
export const directory = Effect.acquireRelease(
  Effect.sync(() =>
    fs.mkdtempSync(path.join(fs.existsSync("/dev/shm") ? "/dev/shm" : os.tmpdir(), "applecart-kills-"))
  ),
  // The files of failures stay.
  (made) => Effect.sync(() => fs.readdirSync(made).length === 0 && fs.rmdirSync(made))
)

const usual = ["say", "say", "say", "say", "say", "say", "prune", "delete", "delete"] as const
const deeds = (forks: boolean) =>
  History.deeds({ most: 30, authors: 4, topics: 2, kinds: forks ? [...usual, "fork"] : usual })

const most = 110

/** With forks it depends on the order which of two comes to stand in a log, so that the end has nothing to be compared with. */
export const make = (
  where: string,
  seed: number,
  { forks, processes }: { readonly forks: boolean; readonly processes: number }
): Effect.Effect<Work, never, Crypto.Crypto> =>
  Effect.map(Crypto.Crypto, (crypto) => {
    const drawn = FastCheck.sample(deeds(forks), { seed, numRuns: 12 })
    const history = History.write(crypto, drawn.flat().slice(0, most))
    const files = Array.from({ length: processes }, (_, nth) => {
      const file = path.join(where, `work-${seed}-${nth}`)
      fs.writeFileSync(file, Program.write(mixed(history.operations, new PCGRandom(seed, nth))))
      return file
    })
    return { history, forks, topic: History.topic(crypto, 0), files }
  })

/** When all is well. */
export const remove = ({ files }: Work): void => files.forEach((file) => fs.rmSync(file))

/** Most come about when they were written, some at any time, and a tenth twice. */
const mixed = <A>(all: ReadonlyArray<A>, random: PCGRandom): ReadonlyArray<A> =>
  all
    .flatMap((one, at) => {
      const when = () => (random.integer(8) === 0 ? random.integer(all.length) : at + random.integer(16))
      return random.integer(10) === 0
        ? [
            { one, when: when() },
            { one, when: when() }
          ]
        : [{ one, when: when() }]
    })
    .sort((a, b) => a.when - b.when)
    .map(({ one }) => one)
