/** What the parts of a verification share, and what one stored operation says of itself. */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Crypto from "../../core/Crypto.ts"
import type * as Extensions from "../../core/Extensions.ts"
import type { Hash } from "../../core/Hash.ts"
import * as Header from "../../core/Header.ts"
import * as Operation from "../../core/Operation.ts"
import type { Topic } from "../../core/Topic.ts"
import type { SqlError } from "@effect/sql/SqlError"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Finding, type Kind, type Mend } from "../Finding.ts"
import type { Row } from "./capability.ts"
import * as Cells from "./cells.ts"
import { unlessDamaged } from "./scan.ts"

/** What is verified with, and where findings go. */
export interface Verifying<E, R> {
  readonly crypto: Crypto.Service
  readonly format: Format
  readonly tables: ReadonlySet<string>
  readonly counts: Counts
  readonly report: (finding: Finding) => Effect.Effect<void, E, R>
}

/** How extensions are read, whatever they are read as. */
export type Format = (extensions: Uint8Array | undefined) => Meant | undefined

/** What extensions say, and whether their log is that of a topic. */
export interface Meant {
  readonly fields: Extensions.Fields
  readonly ownsLog: (topic: Topic) => boolean
}

export const format =
  <X extends Extensions.Fields>(crypto: Crypto.Service, codec: Extensions.Codec<X>): Format =>
  (extensions) => {
    const read = codec.decode(extensions)
    if (read._tag === "Left") return undefined
    return { fields: read.right, ownsLog: (topic) => codec.ownsLog?.(crypto, topic, read.right) !== false }
  }

/** How much was looked at. */
export interface Counts {
  operations: number
  inbox: number
  logs: number
  /** Operations whose extensions are of another format: nobody can say here which log they belong to. */
  unread: number
  findings: number
}

type Told = ConstructorParameters<typeof Finding>[0]

export const found = <E, R>({ counts, report }: Verifying<E, R>, told: Told): Effect.Effect<void, E, R> => {
  counts.findings += 1
  return report(new Finding(told))
}

/** The rows of a statement; where the database cannot read them, that is a finding and there are none. */
export const rowsOf = <E, R>(
  verifying: Verifying<E, R>,
  table: string,
  self: Effect.Effect<ReadonlyArray<Row>, SqlError, SqlClient>
): Effect.Effect<ReadonlyArray<Row>, SqlError | E, SqlClient | R> =>
  Effect.flatMap(unlessDamaged(self), (rows) =>
    typeof rows === "string"
      ? Effect.as(
          found(verifying, { kind: "Unreadable", mend: "copy", table, detail: `it cannot be read whole: ${rows}` }),
          []
        )
      : Effect.succeed(rows)
  )

/** What a header says that holds. */
export interface Read {
  /** The hash of the header. */
  readonly id: Hash
  readonly header: Header.Header
  /** `undefined`: of another format. */
  readonly fields: Extensions.Fields | undefined
  readonly ownsLog: Meant["ownsLog"]
}

export interface Problem {
  readonly kind: Kind
  readonly mend: Mend
  readonly detail: string
}

/**
 * Looks at the bytes of a stored operation, with the columns `id`, `seq_num`, `header` and `body`. `log`: the row of the log in
 * which it stands, empty where that is not there; none for the inbox. Where neither its id nor its place fit the header, that is another operation's.
 */
export const examine = (
  { crypto, format }: Pick<Verifying<never, never>, "format" | "crypto">,
  row: Row,
  log?: Row
): { readonly read: Read | undefined; readonly problems: ReadonlyArray<Problem> } => {
  const bytes = Cells.blob(row, "header")
  const wrong = (detail: string) => ({
    read: undefined,
    problems: [{ kind: "Header" as const, mend: "source" as const, detail }]
  })
  if (bytes === undefined) return wrong("its header is not there")
  const decoded = Header.decode(crypto, bytes)
  if (decoded._tag === "Left") return wrong(`its header is damaged (${Header.verdict(decoded.left)})`)
  const header = decoded.right
  const id = crypto.hash(bytes)
  const meant = format(header.extensions)
  const isOfLog =
    log === undefined ||
    (Cells.key(log, "author") === header.verifyingKey &&
      (meant === undefined || Cells.logId(log, "log_id") === meant.fields.logId))
  const hasSeqNum = Cells.integer(row, "seq_num") === header.seqNum
  const problems: Array<Problem> = []
  if (Cells.hash(row, "id") !== id && !(isOfLog && hasSeqNum))
    return wrong(`its header is that of another operation, ${id}`)
  if (Cells.hash(row, "id") !== id) {
    problems.push({ kind: "Header", mend: "derived", detail: `its id is not the hash of its header, ${id}` })
  }
  if (!hasSeqNum) {
    problems.push({ kind: "Column", mend: "derived", detail: `seq_num is not ${header.seqNum}, as its header says` })
  }
  const body = aboutBody(crypto, header, row)
  if (body !== undefined) problems.push(body)
  return { read: { id, header, fields: meant?.fields, ownsLog: meant?.ownsLog ?? (() => true) }, problems }
}

// internal

const aboutBody = (crypto: Crypto.Service, header: Header.Header, row: Row): Problem | undefined => {
  if (row["body"] === null) return undefined
  const body = Cells.blob(row, "body")
  const whole = body !== undefined && Either.isRight(Operation.checkBody(crypto, header, body))
  if (whole) return undefined
  return header.payloadSize === 0
    ? { kind: "Body", mend: "derived", detail: "it has a body, and its header says that there is none" }
    : { kind: "Body", mend: "source", detail: "its body is not the one that its author signed for" }
}
