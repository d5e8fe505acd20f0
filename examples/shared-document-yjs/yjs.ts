/** Yjs: what was erased goes for good once nobody keeps the updates that brought it. */
import * as Y from "yjs"
import type { Documents } from "applecart"
import type { Editor } from "../shared-document/editor.ts"

/** All that applecart needs to know of Yjs. */
export const crdt: Documents.Crdt<Y.Doc> = {
  empty: () => new Y.Doc(),
  apply: (doc, update) => {
    Y.applyUpdate(doc, update)
    return doc
  },
  save: (doc) => Y.encodeStateAsUpdate(doc)
}

export const editor: Editor<Y.Doc> = {
  library: "Yjs",
  crdt,
  text: (doc) => doc.getText("recipe").toString(),
  edit: (doc, author, { at, insert, remove }) => {
    // Yjs takes a random number, and breaks ties by it. This one makes the story the same every time.
    doc.clientID = Number.parseInt(author.slice(0, 8), 16)
    const updates: Array<Uint8Array> = []
    doc.on("update", (update: Uint8Array) => updates.push(update))
    doc.transact(() => {
      const text = doc.getText("recipe")
      text.delete(at, remove)
      text.insert(at, insert)
    })
    return Y.mergeUpdates(updates)
  },
  remembers: (doc, words) => Buffer.from(Y.encodeStateAsUpdate(doc)).includes(words),
  keepsHistory: false
}
