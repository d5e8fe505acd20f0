/** What `StreamController.verify` compares, and tells. */
import type { Finding } from "../store/Finding.ts"

/** What is compared. */
export interface Options {
  /**
   * Tables and columns (`table.column`) that need not be the same: what a handler writes there does not follow from the
   * operations, such as the time. Besides, AUTOINCREMENT keys are not compared, nor the table of the processor `Limits`, whose
   * windows are forgotten when they are over.
   */
  readonly ignore?: ReadonlyArray<string> | undefined
}

/** What was compared. */
export interface Report {
  /** The tables whose rows were. */
  readonly tables: ReadonlyArray<string>
  /** Who was rebuilt, by the name under which it is recorded. */
  readonly rebuilt: ReadonlyArray<string>
  /** Who was not: it has no `reset`, or has not caught up. Nothing is said of what it keeps. */
  readonly notRebuilt: ReadonlyArray<string>
  /** The rows that differ, a hundred of each table and direction at the most. */
  readonly findings: ReadonlyArray<Finding>
}
