/** Taking operations in: decode and check outside any transaction, then store or process in one. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import * as Utf8 from "../../core/internal/Utf8.ts"
import type * as Operation from "../../core/Operation.ts"
import * as Batch from "../../pipeline/Batch.ts"
import type * as Event from "../../pipeline/Event.ts"
import * as Outcome from "../../pipeline/Outcome.ts"
import * as Inbox from "../../store/Inbox.ts"
import * as Transaction from "../../store/Transaction.ts"
import type { InboxFull, InsideTransaction, Invalid } from "../Errors.ts"
import type { From, Received, StreamController } from "../StreamController.ts"
import type { Refused, Setup } from "./setup.ts"
import { pieces } from "./ahead.ts"
import * as Candidates from "./candidates.ts"
import * as Defaults from "./defaults.ts"
import * as Live from "./live.ts"
import * as Gate from "./gate.ts"
import { turn } from "../../store/internal/turn.ts"
import type { Seen, Verifier } from "./verifier.ts"
import type { Work } from "./work.ts"

/** Runs a call of the controller with its services, unless it comes from inside a transaction. */
type Guarded<R> = <B, Err>(
  call: string,
  self: Effect.Effect<B, Err, SqlClient | R>
) => Effect.Effect<B, Err | SqlError | InsideTransaction>

/** What is said of one of many operations. */
export type Answer<E> = Outcome.Outcome<E> | Invalid | InboxFull

/** What is said of one of many operations that are only to be stored. */
export type Stored<E> = Received<E> | Invalid | InboxFull

type Intake<A, E> = Pick<StreamController<A, E>, "receive" | "receiveAll" | "process" | "processAll">

export const make = <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  crypto: Crypto.Service,
  verifier: Verifier,
  work: Work<X, E, R>,
  guarded: Guarded<R>
): Intake<A, E> => {
  /** Reads them, with a turn of the event loop between pieces. */
  const read = Effect.fnUntraced(function* (seen: ReadonlyArray<Seen>, from: From | undefined) {
    // As it is stored, so that a processor reads the same of it now and later.
    const source = from?.source === undefined ? undefined : Utf8.wellFormed(from.source)
    const origin = { topic: from?.topic, source, receivedAt: yield* Clock.currentTimeMillis }
    const checked: Array<Checked<X>> = []
    for (const [nth, one] of seen.entries()) {
      if (nth > 0 && nth % Defaults.piece === 0) yield* turn
      const operation = verifier.decode(one)
      checked.push(Either.flatMap(operation, (valid) => Candidates.receive(crypto, setup.codec, valid, origin)))
    }
    return checked
  })

  const readOne = (raw: Operation.Raw, from: From | undefined) =>
    Effect.flatMap(verifier.see([raw]), (seen) => read(seen, from))

  /** Their signatures, piece after piece: while some are read and processed, those of the next are checked. */
  const seeing = (raws: ReadonlyArray<Operation.Raw>) =>
    pieces(raws, { size: Defaults.piece, ahead: verifier.ahead }, verifier.see)

  const receiveAll = Effect.fnUntraced(function* (raws: ReadonlyArray<Operation.Raw>, from?: From) {
    const checked: Array<Checked<X>> = []
    const take = seeing(raws)
    while (checked.length < raws.length) {
      checked.push(...(yield* read(yield* take(Defaults.piece), from)))
      if (checked.length < raws.length) yield* turn
    }
    // What was deleted before it came must not be stored, and that a processor knows.
    const stored = yield* Live.run(setup, ({ last }) => store(setup, last, valid(checked)), { who: "processors" })
    yield* work.signal
    return checked.map(
      Either.match({
        onLeft: (invalid): Stored<E> => invalid,
        onRight: ({ id }): Stored<E> => stored.get(id) ?? { _tag: "Queued", id }
      })
    )
  })

  /** One transaction's worth. */
  const processSome = Effect.fnUntraced(function* (checked: ReadonlyArray<Checked<X>>) {
    const events = valid(checked)
    let known: ReadonlyMap<Hash, Outcome.Where> = new Map()
    let refused: ReadonlyMap<Hash, Outcome.Rejected<E>> = new Map()
    let committed = false
    const sorting = Effect.zipLeft(
      Candidates.sort(events),
      Transaction.afterCommit(Effect.sync(() => void (committed = true)))
    )
    const source = Effect.map(sorting, (sorted) => {
      const gate = Gate.check(setup, sorted.candidates)
      known = sorted.known
      refused = gate.refused
      return { candidates: gate.passed, known: [], resumes: false, root: undefined }
    })
    const asked = new Set(events.map(({ id }) => id))
    const byId = asked.size === 0 ? new Map<Hash, Outcome.Outcome<E> | Refused>() : yield* work.process(source, asked)
    // Where a guilty operation undid that transaction, only the candidates were tried again; what was learnt from the others
    // is not lost.
    if (!committed && known.size > 0) yield* Transaction.run(sorting, { busyLimit: setup.busyLimit })
    return checked.map(
      Either.match({
        onLeft: (invalid): Answer<E> => invalid,
        onRight: ({ id }) => refused.get(id) ?? answer(byId, known, id)
      })
    )
  })

  const processAll = Effect.fnUntraced(function* (raws: ReadonlyArray<Operation.Raw>, from?: From) {
    const answers: Array<Answer<E>> = []
    const take = seeing(raws)
    while (answers.length < raws.length) {
      const seen = yield* take(setup.pace.size())
      // The next pieces get to their threads, and timers and sockets get their turn.
      yield* turn
      answers.push(...(yield* processSome(yield* read(seen, from))))
    }
    return answers
  })

  return {
    receive: (raw, from) =>
      Effect.flatMap(guarded("receive", receiveAll([raw], from)), ([one]) =>
        only<Received<E>, Invalid | InboxFull>(one)
      ),
    receiveAll: (raws, from) => guarded("receiveAll", receiveAll(raws, from)),
    process: (raw, from) =>
      Effect.flatMap(guarded("process", Effect.flatMap(readOne(raw, from), processSome)), ([one]) =>
        only<Outcome.Outcome<E>, Invalid | InboxFull>(one)
      ),
    processAll: (raws, from) => guarded("processAll", processAll(raws, from))
  }
}

// internal

type Checked<X extends Extensions.Fields> = Either.Either<Event.Event<X>, Invalid>

const valid = <A, E>(checked: ReadonlyArray<Either.Either<A, E>>): ReadonlyArray<A> =>
  checked.flatMap((one) => (one._tag === "Right" ? [one.right] : []))

/** One operation was asked about, so there is one answer: a refusal is the call's failure. */
const only = <A extends { readonly _tag: string }, Err extends Error>(
  answer: A | Err | undefined
): Effect.Effect<A, Err> =>
  answer === undefined
    ? Effect.dieMessage("one operation gives one answer")
    : answer instanceof Error
      ? Effect.fail(answer)
      : Effect.succeed(answer)

/** The newest outcome of an operation; one that was given twice is answered as known the second time, if it was taken in. */
const answer = <E>(
  outcomes: Map<Hash, Outcome.Outcome<E> | Refused>,
  known: ReadonlyMap<Hash, Outcome.Where>,
  id: Hash
): Answer<E> => {
  const outcome = outcomes.get(id)
  if (outcome === undefined) return Outcome.known(id, known.get(id) ?? "queued")
  if (outcome._tag === "Refused") return outcome.error
  if (!Outcome.isRefused(outcome)) outcomes.set(id, Outcome.known(id, where(outcome)))
  return outcome
}

const where = <E>(outcome: Outcome.Outcome<E>): Outcome.Where => {
  switch (outcome._tag) {
    case "Accepted":
      return "accepted"
    case "Known":
      return outcome.where
    case "Deferred":
      return "waiting"
    case "Rejected":
      return outcome.next._tag === "Discarded"
        ? outcome.next.as
        : outcome.next._tag === "Skipped"
          ? "accepted"
          : "rejected"
  }
}

/** Queues what is new, may come in and has room; gives the answers to all the others. */
const store = Effect.fnUntraced(function* <X extends Extensions.Fields, Out extends Event.Event, A, E, R>(
  setup: Setup<X, Out, A, E, R>,
  last: number,
  events: ReadonlyArray<Event.Event<X>>
) {
  const batch = yield* Batch.open(setup, last, "apart")
  const { candidates, known } = yield* Candidates.sort(yield* batch.admit(events))
  const { passed, refused } = Gate.check(setup, candidates)
  const fresh = passed.filter(({ entry }) => entry === undefined)
  const full = yield* Gate.full(fresh, setup)
  yield* Inbox.put(fresh.filter(({ event }) => !full.has(event.id)).map(Candidates.incoming))
  const answers = new Map<Hash, Stored<E>>([...refused, ...full])
  for (const [id, where] of known) answers.set(id, Outcome.known(id, where))
  for (const { entry, event } of passed) {
    if (entry !== undefined) answers.set(event.id, Outcome.known(event.id, "queued"))
  }
  return answers
})
