/** The bugs that are planted. Each is a change of a few characters that somebody might make. */
import type { Mutant } from "./Mutants.ts"

export const mutants: ReadonlyArray<Mutant> = [
  {
    name: "handler-throws",
    what: "a handler that throws takes the whole call with it",
    file: "pipeline/Batch.ts",
    find: "Effect.suspend(() => definition.application.handle(event, ledger.next()))",
    replace: "definition.application.handle(event, ledger.next())",
    rows: ["handlers"]
  },
  {
    name: "no-rollback",
    what: "a transaction that failed is left open",
    file: "store/internal/transact.ts",
    find: "if (Exit.isFailure(exit)) return Effect.as(rollback(root), { exit, hooks: [] })",
    replace: "if (Exit.isFailure(exit)) return Effect.succeed({ exit, hooks: [] })",
    rows: ["statements"]
  },
  {
    name: "commit-is-final",
    what: "what a failed COMMIT leaves is not rolled back",
    file: "store/internal/transact.ts",
    find: "Effect.map(rollback(root), (undone) => ({",
    replace: 'Effect.map(Effect.succeed<Root.Undone>("done"), (undone) => ({',
    rows: ["statements"]
  },
  {
    name: "connection-lost",
    what: "whoever is interrupted while it takes the connection takes it along",
    file: "store/internal/acquire.ts",
    find: "Effect.flatMap(Effect.forkDaemon(Effect.uninterruptible(self)), (fiber) => restore(Fiber.join(fiber)))",
    replace: "restore(self)",
    rows: ["interrupts"]
  }
]
