/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "no-transaction",
    what: "what is done for an operation is committed statement by statement",
    rows: ["kills"],
    file: "store/internal/root.ts",
    find: "  if (root.sqlite) return root.connection.execute(sql, [], undefined)",
    replace: `  if (sql === "BEGIN IMMEDIATE" || sql === "COMMIT") return Effect.succeed([])
  if (root.sqlite) return root.connection.execute(sql, [], undefined)`
  },
  {
    name: "position-later",
    what: "a reader's position moves right behind the commit of what it wrote",
    rows: ["kills"],
    file: "stream/internal/handover.ts",
    find: "return [yield* taken.leave(refused)]",
    replace: `const left = []
      const leave = Effect.orDie(Transaction.run(taken.leave(refused), { busyLimit }))
      yield* Transaction.afterCommit(Effect.map(leave, (one) => void left.push(one)))
      return left`
  }
]
