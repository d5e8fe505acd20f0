/**
 * The limits: signatures checked one after the other by the library alone, and the same rows inserted by hand with
 * better-sqlite3, one prepared statement per table.
 */
import type * as Crypto from "../../src/core/Crypto.ts"
import * as Check from "./Check.ts"
import * as Data from "./Data.ts"
import * as Mode from "./Mode.ts"
import * as Rows from "./Rows.ts"
import * as Signatures from "./Signatures.ts"
import { type Measured, timed } from "./Timing.ts"

/** Checks the signature of every operation, on one thread, with everything prepared that can be. */
export const signatures = async (crypto: Crypto.Service, data: Data.Data): Promise<Measured> => {
  let good = 0
  const time = await timed(async () => {
    for (const { key, operation, signed } of data.items) {
      if (crypto.verify(key, signed, operation.header.signature)) good += 1
    }
  })
  const count = data.items.length
  return { count, ...time, problems: good === count ? [] : [`${count - good} good signatures were refused`] }
}

/** The same on all cores at once, in threads that were started before. */
export const signaturesOnAllCores = async (pool: Signatures.Pool, data: Data.Data): Promise<Measured> => {
  const count = data.items.length
  const share = Math.ceil(count / pool.size)
  const packed = Array.from({ length: pool.size }, (_, nth) =>
    Signatures.pack(
      data.items.slice(nth * share, (nth + 1) * share).map(({ key, operation, signed }) => ({
        key,
        signature: operation.header.signature,
        message: signed
      }))
    )
  )
  let good = 0
  const time = await timed(async () => {
    for (const checked of await Promise.all(packed.map(pool.check))) good += checked
  })
  return { count, ...time, problems: good === count ? [] : [`${count - good} good signatures were refused`] }
}

/** Signs every header again. */
export const signing = async (crypto: Crypto.Service, data: Data.Data): Promise<Measured> => {
  const keys = Array.from({ length: Data.authors }, (_, author) => Data.signingKey(author))
  const made: Array<Uint8Array> = []
  const time = await timed(async () => {
    for (const [index, { signed }] of data.items.entries()) {
      const key = keys[index % keys.length]
      if (key !== undefined) made.push(crypto.sign(key, signed))
    }
  })
  const wrong = data.items.filter(
    ({ operation }, index) => Buffer.compare(operation.header.signature, made[index] ?? new Uint8Array()) !== 0
  )
  return { count: made.length, ...time, problems: wrong.length === 0 ? [] : [`${wrong.length} signatures differ`] }
}

/** Inserts the rows that `ingest` leaves. */
export const inserts = (data: Data.Data, mode: Mode.Mode, batching: Mode.Batching): Promise<Measured> =>
  Mode.withFile(mode, async (filename) => {
    const db = Rows.open(filename, mode)
    try {
      const write = Rows.believing(db)
      const size = Mode.batchSize(batching)
      const time = await timed(async () => {
        for (let at = 0; at < data.items.length; at += size) write(data.items.slice(at, at + size))
      })
      return { count: data.items.length, ...time, problems: Check.problems(Rows.read(db, Check.queries), data) }
    } finally {
      db.close()
    }
  })
