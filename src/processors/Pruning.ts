/**
 * Pruning: an operation with the prune flag removes everything before it in its log, headers and bodies, in the transaction
 * that accepts it. The application is told what goes before it goes (`Application.Forgotten`), and its no keeps it all.
 *
 * p2panda prunes by the flag of any operation that arrives, also of one that it does not take in; here only an operation that
 * has its place in its log, and was accepted by everyone, prunes.
 */
import * as Either from "effect/Either"
import type * as Event from "../pipeline/Event.ts"
import * as Processor from "../pipeline/Processor.ts"
import * as Removal from "../store/Removal.ts"
import type { InPlace } from "./LogIntegrity.ts"

/**
 * The processor. It stands behind `LogIntegrity`.
 *
 * @example
 * Pipeline.make(LogIntegrity.processor).pipe(Pipeline.andThen(Pruning.processor))
 */
export const processor: Processor.Processor<Event.Event & InPlace, {}, never, never> = Processor.stateless({
  name: "pruning",
  decide: ({ extensions, log, operation: { header } }: Event.Event & InPlace) =>
    Either.right(
      Processor.accept({
        removes: extensions.prune && header.seqNum > 0 ? [Removal.prefix(log, header.seqNum)] : []
      })
    )
})
