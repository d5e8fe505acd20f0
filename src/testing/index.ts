/**
 * What tests of your own processors and handlers need: the same tools that applecart's promises are tested with.
 * See docs/testing.md.
 */

/** Faults at chosen statements: errors, defects, pauses, SIGKILL. */
export * as SqlFaults from "./SqlFaults.ts"
/** What authors did, as generated operations with short names. */
export * as History from "./History.ts"
/** An application that writes down what it is handed. */
export * as Journal from "./Journal.ts"
/** What must hold of a database at any moment. */
export * as Promises from "./Promises.ts"
/** What is in a database, for comparisons. */
export * as Snapshot from "./Snapshot.ts"
/** Several peers in one process over a bad network, with crashes; everything follows from a seed. */
export * as Simulation from "./Simulation.ts"
