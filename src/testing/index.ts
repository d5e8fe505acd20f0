/**
 * What tests of your own processors and handlers need: the same tools that applecart's promises are tested with.
 * See docs/testing.md.
 */

/** Faults at chosen statements: errors, defects, pauses, SIGKILL. */
export * as SqlFaults from "./SqlFaults.ts"
/** Damaged, cut, repeated and reordered input: bytes and sequences of operations. */
export * as InputFaults from "./InputFaults.ts"
