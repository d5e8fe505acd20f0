/**
 * More operations than one transaction wakes, all of them waiting for one that comes after them: what there was no room for has to be
 * noted, and worked off in another transaction. They wait for a second one besides, which never comes, so that waking them costs a
 * look at each and not a whole decision; every statement of it is failed like any other.
 */
import * as Effect from "effect/Effect"
import type * as Crypto from "../../../src/core/Crypto.ts"
import * as Operation from "../../../src/core/Operation.ts"
import * as History from "../../../src/testing/History.ts"
import * as Calls from "./Calls.ts"

/** A transaction wakes a hundred at the least, and as many as a batch holds. */
const many = 110
const batchSize = 100

/** Who is none of a history's authors: of what never comes, of what all wait for, and the first of those who wait. */
const [absent, awaited, first] = [27, 28, 29] as const

/** A scenario that ends with a crowd. */
export const behind = (crypto: Crypto.Service, scenario: Calls.Scenario): Calls.Scenario => {
  const waiting = Array.from({ length: many }, (_, nth) => History.say(first + nth, { after: [0, 1] }))
  const crowd = History.write(crypto, [History.say(absent), History.say(awaited), ...waiting])
  const [, last, ...early] = crowd.operations.map(Operation.raw)
  return {
    history: {
      deeds: [...scenario.history.deeds, ...crowd.deeds],
      entries: [...scenario.history.entries, ...crowd.entries],
      operations: [...scenario.history.operations, ...crowd.operations],
      names: new Map([...scenario.history.names, ...crowd.names])
    },
    calls: [
      ...scenario.calls,
      {
        name: "receiveAll a crowd",
        run: (controller) => Effect.map(controller.receiveAll(early), (all) => all.map(Calls.answer))
      },
      Calls.drain,
      {
        name: "process what the crowd waits for",
        run: (controller) =>
          Effect.map(controller.processAll(last === undefined ? [] : [last]), (all) => all.map(Calls.answer))
      }
    ],
    batchSize
  }
}
