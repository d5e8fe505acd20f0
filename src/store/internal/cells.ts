/** Cells of rows that may be damaged: each is what it should be, or `undefined`. */
import * as Hash from "../../core/Hash.ts"
import * as LogId from "../../core/LogId.ts"
import * as VerifyingKey from "../../core/VerifyingKey.ts"
import type { Row } from "./capability.ts"

export const blob = (row: Row, column: string): Uint8Array | undefined => {
  const cell = row[column]
  return cell instanceof Uint8Array ? new Uint8Array(cell.buffer, cell.byteOffset, cell.byteLength) : undefined
}

export const integer = (row: Row, column: string): number | undefined => {
  const cell = row[column]
  const found = typeof cell === "bigint" ? Number(cell) : cell
  return typeof found === "number" && Number.isSafeInteger(found) ? found : undefined
}

export const text = (row: Row, column: string): string | undefined => {
  const cell = row[column]
  return typeof cell === "string" ? cell : undefined
}

const of32 =
  <A>(make: (bytes: Uint8Array) => A) =>
  (row: Row, column: string): A | undefined => {
    const bytes = blob(row, column)
    return bytes?.length === 32 ? make(bytes) : undefined
  }

export const hash = of32(Hash.fromBytes)
export const key = of32(VerifyingKey.fromBytes)
export const logId = of32(LogId.fromBytes)
