/**
 * Before each file: a turn for the worker between two tests. Tests that compute keep it busy, and Vitest fails a run in which a
 * worker has not looked at an answer for a minute.
 */
import { afterEach } from "vitest"

afterEach(() => new Promise<void>((done) => setImmediate(done)))
