/** What a controller does where its options say nothing. A test run can force other values, each by its one line here. */

/** Operations to a transaction. */
export const batchSize = 100

/** Whether there may be more under load, and fewer where they are slow. */
export const adapts = true

/** Operations that are read and checked together, ahead of those who process them. */
export const piece = 100

/** Fewer signatures than this are checked sooner than a worker has been asked. */
export const worthwhile = 8

/** Whether a worker checks signatures although the options give a `Crypto`, which then is not used as it is. */
export const besideGiven = false

/** Whether signatures are checked here as long as the worker is starting. */
export const meanwhile = true
