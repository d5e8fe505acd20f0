/**
 * What tests of your own processors and handlers need: the same tools that applecart's promises are tested with.
 * See docs/testing.md.
 */

/** Faults at chosen statements: errors, defects, pauses, SIGKILL. */
export * as SqlFaults from "./SqlFaults.ts"
