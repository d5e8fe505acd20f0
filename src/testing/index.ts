/**
 * What tests of your own processors and handlers need: the same tools that applecart's promises are tested with.
 * See docs/testing.md.
 */

/** Faults at chosen statements: errors, defects, pauses, SIGKILL. */
export * as SqlFaults from "./SqlFaults.ts"
/** An interruption at a chosen step. */
export * as Interruptions from "./Interruptions.ts"
/** Handlers that do what no handler should. */
export * as Misbehaviour from "./Misbehaviour.ts"
/** What authors did, as generated operations with short names. */
export * as History from "./History.ts"
/** An application that writes down what it is handed. */
export * as Journal from "./Journal.ts"
/** What must hold of a database at any moment. */
export * as Promises from "./Promises.ts"
/** What is in a database, for comparisons. */
export * as Snapshot from "./Snapshot.ts"
/** Damaged, cut, repeated and reordered input: bytes and sequences of operations. */
export * as InputFaults from "./InputFaults.ts"
/** Histories as pictures in text. */
export * as Picture from "./Picture.ts"
/** How operations reach a peer: any order, twice, in pieces, with restarts. */
export * as Delivery from "./Delivery.ts"
/** What a processor and an application of one's own have to keep. */
export * as Laws from "./Laws.ts"
/** Keys, hashes, topics, single operations. */
export * as Arbitraries from "./Arbitraries.ts"
/** Operations with exactly one flaw, and what each is refused with. */
export * as Flaws from "./Flaws.ts"
/** Kills a program of yours, again and again, and looks at what it left. */
export * as Crashes from "./Crashes.ts"
/** The side of the program that is killed. */
export * as Victim from "./Victim.ts"
/** Several peers in one process over a bad network, with crashes; everything follows from a seed. */
export * as Simulation from "./Simulation.ts"
