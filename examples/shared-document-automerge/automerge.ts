/** Automerge: a document is its whole history, and what was erased stays in that. */
import * as Automerge from "@automerge/automerge"
import type { Documents } from "applecart"
import type { Editor } from "../shared-document/editor.ts"

interface Recipe {
  recipe: string
}
type State = Automerge.Doc<Recipe>

/** All that applecart needs to know of Automerge. */
export const crdt: Documents.Crdt<State> = {
  empty: () => Automerge.init(),
  apply: (doc, update) => Automerge.loadIncremental(doc, update),
  save: (doc) => Automerge.save(doc)
}

/** The first change is the same for everybody, so that they all write into one text and not into one each. */
const beginning = Automerge.change(
  Automerge.init<Recipe>({ actor: "00" }),
  { time: 0 },
  (doc) => void (doc.recipe = "")
)

export const editor: Editor<State> = {
  library: "Automerge",
  crdt,
  // Before the first change of all there is none.
  text: ({ recipe = "" }: Partial<Recipe>) => recipe,
  edit: (doc, author, { at, insert, remove }) => {
    // Automerge takes a random actor and breaks ties by it. The author's key makes the story the same every time.
    const own = Automerge.merge(Automerge.clone(doc, { actor: author }), beginning)
    const changed = Automerge.change(own, { time: 0 }, (recipe) =>
      Automerge.splice(recipe, ["recipe"], at, remove, insert)
    )
    return Automerge.saveSince(changed, Automerge.getHeads(doc))
  },
  remembers: (doc, words) => Automerge.getHistory(doc).some(({ snapshot }) => snapshot.recipe.includes(words)),
  keepsHistory: true
}
