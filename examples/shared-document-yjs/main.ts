/**
 * Three write one recipe, with Yjs.
 *
 * Run it with `npm run demo:yjs`. It checks what it tells, and exits with 1 if anything is not so.
 *
 * - yjs.ts                        what applecart and the story need to know of Yjs
 * - ../shared-document/story.ts   the story
 * - ../shared-document/desk.ts    the application, and what a peer does with it
 */
import { run } from "../shared-document/story.ts"
import { editor } from "./yjs.ts"

run(editor)
