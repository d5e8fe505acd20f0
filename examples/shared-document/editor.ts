/** What the story needs of a CRDT library: the adapter that applecart takes, and a text that can be edited and read. */
import type { Documents, VerifyingKey } from "applecart"

/** A change of a text: what stands at a place is replaced. */
export interface Change {
  readonly at: number
  readonly remove: number
  readonly insert: string
}

export interface Editor<State> {
  readonly library: string
  readonly crdt: Documents.Crdt<State>
  readonly text: (state: State) => string
  /** Makes a change in somebody's name; gives the update for the others. */
  readonly edit: (state: State, author: VerifyingKey.VerifyingKey, change: Change) => Uint8Array
  /** Whether these words were ever in the text, as far as the document can still tell. */
  readonly remembers: (state: State, words: string) => boolean
  /** Whether the library keeps what was erased, as part of the document's history. */
  readonly keepsHistory: boolean
}
