/**
 * Three write one recipe, with Automerge.
 *
 * Run it with `npm run demo:automerge`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - automerge.ts                        what applecart and the story need to know of Automerge
 * - ../shared-document/story.ts   the story
 * - ../shared-document/desk.ts    the application, and what a peer does with it
 */
import { run } from "../shared-document/story.ts"
import { editor } from "./automerge.ts"

run(editor)
