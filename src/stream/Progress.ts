/** How far a consumer has come, told after each transaction in which it moved. */
export interface Progress {
  /** Its name; of a processor that is rebuilt `processor:` and its name. */
  readonly consumer: string
  /**
   * - `build`: what was accepted before its version came;
   * - `follow`: what is accepted since;
   * - `replay`: what it was handed before, because somebody asked;
   * - `retry`: what it had parked.
   */
  readonly what: "build" | "follow" | "replay" | "retry"
  /** It has come up to here, and is on its way to `until`. */
  readonly position: number
  readonly until: number
  /** How many operations it handled in this transaction, and how many of them were parked. */
  readonly handled: number
  readonly parked: number
}
