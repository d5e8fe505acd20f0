/**
 * What somebody gets who writes by hand what an ingest does, and nothing else: every operation decoded, verified, checked against
 * its log, appended, handled with one row, acknowledged. Signatures are checked by one thread for each core, ahead of the
 * writer; rows are written with better-sqlite3. No Effect, no faults, no rejections: what is wrong ends the program.
 */
import type BetterSqlite3 from "better-sqlite3"
import * as Either from "effect/Either"
import * as Cbor from "../../src/core/Cbor.ts"
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Extensions from "../../src/core/Extensions.ts"
import * as Header from "../../src/core/Header.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as NodeExtensions from "../../src/core/NodeExtensions.ts"
import * as Operation from "../../src/core/Operation.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as Check from "./Check.ts"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import * as Rows from "./Rows.ts"
import * as Signatures from "./Signatures.ts"
import { type Measured, timed } from "./Timing.ts"

/** Takes in operations that many to a transaction, after `pool` has checked their signatures; none checks no signature. */
export const take = async (
  crypto: Crypto.Service,
  pool: Signatures.Pool | undefined,
  write: Rows.Writer,
  raws: ReadonlyArray<Operation.Raw>,
  size: number
): Promise<void> => {
  const ahead: Array<Promise<ReadonlyArray<Rows.Entry>>> = []
  // Two pieces for each thread: one that it works on, one that it finds afterwards.
  const most = Math.ceil(size / piece) - 1 + (pool === undefined ? 1 : 2 * pool.size)
  let ready: ReadonlyArray<Rows.Entry> = []
  let at = 0
  for (;;) {
    for (; at < raws.length && ahead.length < most; at += piece) {
      ahead.push(decode(crypto, pool, raws.slice(at, at + piece)))
    }
    const next = await ahead.shift()
    if (next !== undefined) ready = [...ready, ...next]
    for (; ready.length >= (next === undefined ? 1 : size); ready = ready.slice(size)) write(ready.slice(0, size))
    if (next === undefined) return
  }
}

/** The whole, on a fresh database. So many go `before` the clock is started. */
export const ingest = (
  crypto: Crypto.Service,
  pool: Signatures.Pool | undefined,
  data: Data.Data,
  mode: Mode.Mode,
  batching: Mode.Batching,
  before: number = 0
): Promise<Measured> =>
  withRows(mode, async (db, write) => {
    const size = Mode.batchSize(batching)
    await take(crypto, pool, write, data.raws.slice(0, before), size)
    const time = await timed(() => take(crypto, pool, write, data.raws.slice(before), size))
    const problems = Check.problems(Rows.read(db, Check.queries), data)
    return { count: data.items.length - before, ...time, problems }
  })

/** Builds, signs and writes operations of one's own, a transaction each; on the disk whatever the mode is. */
export const publish = (crypto: Crypto.Service, data: Data.Data, mode: Mode.Mode): Promise<Measured> =>
  withRows(mode === "memory" ? mode : "full", async (db, write) => {
    const key = Data.signingKey(0)
    const logId = LogId.fromBytes(data.logId)
    let head: Operation.Operation | undefined
    const time = await timed(async () => {
      for (const { message } of data.items) {
        const draft = NodeExtensions.draft({ logId, timestamp: BigInt(Date.now()) * 1000n, prune: false, previous: [] })
        const extensions = Either.getOrThrow(NodeExtensions.encode(draft))
        const body = Either.getOrThrow(Cbor.encode(message))
        const place = { seqNum: head === undefined ? 0 : head.header.seqNum + 1, backlink: head?.id }
        head = Either.getOrThrow(Operation.signWith(crypto)(key, { ...place, extensions, body }))
        write([{ operation: head, message, logId }])
      }
    })
    const found = db.prepare<[], { n: number }>("SELECT count(*) AS n FROM applecart_operations").get()?.n
    const count = data.items.length
    return { count, ...time, problems: found === count ? [] : [`${found} of ${count} were published`] }
  })

// internal

/** Operations whose signatures are checked together. */
const piece = 100

const withRows = (mode: Mode.Mode, use: (db: BetterSqlite3.Database, write: Rows.Writer) => Promise<Measured>) =>
  Mode.withFile(mode, async (filename) => {
    const db = Rows.open(filename, mode)
    try {
      return await use(db, Rows.checking(db))
    } finally {
      db.close()
    }
  })

/** While threads check the signatures, this one hashes and reads. */
const decode = async (
  crypto: Crypto.Service,
  pool: Signatures.Pool | undefined,
  raws: ReadonlyArray<Operation.Raw>
): Promise<ReadonlyArray<Rows.Entry>> => {
  const headers = raws.map(({ header }) => Either.getOrThrow(Header.parse(header)))
  const claims = headers.map(({ signature, verifyingKey }, index) => ({
    key: VerifyingKey.toBytes(verifyingKey),
    signature,
    message: Header.signingBytes(raws[index]?.header ?? new Uint8Array())
  }))
  const checking = pool?.check(Signatures.pack(claims))
  const withHeader = Operation.withHeader(crypto)
  const entries = raws.flatMap((raw, index): ReadonlyArray<Rows.Entry> => {
    const header = headers[index]
    if (header === undefined) return []
    const operation = Either.getOrThrow(withHeader(raw, header))
    const { logId } = Either.getOrThrow(Extensions.any.decode(header.extensions))
    return [{ operation, logId, message: messageOf(raw.body) }]
  })
  const good = checking === undefined ? raws.length : await checking
  if (good !== raws.length) throw new Error(`${raws.length - good} signatures are not valid`)
  return entries
}

const messageOf = (body: Uint8Array | undefined): Data.Message => {
  const value: unknown = Either.getOrThrow(Cbor.decode(body ?? new Uint8Array()))
  if (typeof value === "object" && value !== null && "apples" in value && "note" in value && "owner" in value) {
    const { apples, note, owner } = value
    if (
      typeof apples === "number" &&
      Number.isInteger(apples) &&
      typeof note === "string" &&
      typeof owner === "string"
    ) {
      return { apples, note, owner }
    }
  }
  throw new TypeError("a body is no message")
}
