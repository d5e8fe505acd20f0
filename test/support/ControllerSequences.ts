/** Random sequences of commands, and the databases that they begin with. */
import * as FastCheck from "effect/FastCheck"
import * as fs from "node:fs"
import * as path from "node:path"
import { command, type Command } from "./ControllerCommands.ts"
import * as Model from "./ControllerModel.ts"
import { epoch, pools } from "./ControllerPool.ts"
import { Trial } from "./ControllerTrial.ts"
import * as World from "./ControllerWorld.ts"

/** A sequence as it is generated. */
export interface Sequence {
  readonly pool: number
  readonly batchSize: number
  /** How many operations are there from the beginning. */
  readonly prelude: number
  readonly commands: ReadonlyArray<Command>
}

/** So many commands at the most. */
export const sequence = (most: number): FastCheck.Arbitrary<Sequence> =>
  FastCheck.record({
    pool: FastCheck.nat({ max: pools.length - 1 }),
    batchSize: FastCheck.constantFrom(1, 2, 7),
    prelude: FastCheck.nat({ max: 16 }),
    commands: FastCheck.array(command, { minLength: 1, maxLength: most, size: "max" })
  })

/** Where sequences are carried out. */
export interface Place {
  /** Carries a sequence out; gives what was done, line by line. Fails with that, and with what is different. */
  readonly carryOut: (sequence: Sequence) => Promise<ReadonlyArray<string>>
  readonly close: () => void
}

/** Many sequences begin alike: that is done once, and the file copied. */
export const place = async (): Promise<Place> => {
  const directory = World.directory()
  const blank = path.join(directory, "blank.db")
  await World.create(blank, new World.StillClock(epoch))
  const begun = new Map<string, Model.Model>()
  let count = 0

  const begin = async ({ pool, prelude }: Sequence) => {
    const filename = path.join(directory, `begun-${pool}-${prelude}.db`)
    const known = begun.get(filename)
    if (known !== undefined) return { filename, model: Model.copy(known) }
    fs.copyFileSync(blank, filename)
    const database = World.connect(filename)
    const trial = new Trial(database, pools[pool] ?? [], 7)
    const model = await telling(trial, () => trial.begin(program, prelude))
    database.close()
    begun.set(filename, model)
    return { filename, model: Model.copy(model) }
  }

  return {
    carryOut: async (sequence) => {
      const { filename, model } = await begin(sequence)
      const copy = path.join(directory, `${count++}.db`)
      fs.copyFileSync(filename, copy)
      const database = World.connect(copy)
      const pool = pools[sequence.pool] ?? []
      const trial = new Trial(database, pool, sequence.batchSize, model)
      const first = pool.slice(0, sequence.prelude).map(({ name }) => name)
      trial.done.push(`0: open one two by 7, process ${first.join(" ")}, drain, pull and acknowledge everything`)
      await telling(trial, async () => {
        await trial.open(0, { ...program, batchSize: sequence.batchSize }, undefined)
        for (const one of sequence.commands) await trial.carryOut(one)
      })
      database.close()
      for (const end of ["", "-wal", "-shm"]) fs.rmSync(copy + end, { force: true })
      return trial.done
    },
    close: () => fs.rmSync(directory, { recursive: true, force: true })
  }
}

// internal

const program: Model.Program = {
  batchSize: 7,
  application: 1,
  readers: new Map([
    ["one", 1],
    ["two", 1]
  ])
}

/** Says with a failure what was done before it. */
const telling = async <A>(trial: Trial, body: () => Promise<A>): Promise<A> => {
  try {
    return await body()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${trial.done.join("\n")}\n${reason}`, { cause: error })
  } finally {
    await trial.close()
  }
}
