/**
 * When two verdicts on the same operation agree: ours, and one that the Rust oracle printed.
 */
import type { Verdict } from "../../src/core/Verdict.ts"

/** A verdict of the oracle (/work/shared/oracle). */
export interface OracleVerdict extends Verdict {
  /** `false`: p2panda accepts the bytes but stores and forwards others. We refuse them. */
  readonly reencodes?: boolean
  /** Refused, but behind a tag that p2panda looks through: our reason may be another. */
  readonly tagged?: boolean
}

/** One line of the oracle: header and body in hex, and the verdict. */
export interface Case {
  readonly h: string
  readonly b: string | null
  readonly verdict: OracleVerdict
}

const fields = ["header", "cbor", "id", "unit", "node", "operation"] as const

export const agree = (ours: Verdict, theirs: OracleVerdict): boolean => {
  if (theirs.reencodes === false) return ours.header.startsWith("TaggedField:")
  if (theirs.tagged === true) return ours.header !== "ok"
  return fields.every((field) => ours[field] === theirs[field])
}
