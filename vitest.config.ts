import * as os from "node:os"
import { defineConfig } from "vitest/config"
import { BaseSequencer, type TestSpecification } from "vitest/node"
import * as Forced from "./test/support/Forced.ts"

/** The files that take longest begin first, so that no worker is left alone with one in the end. */
const longest = [
  "Faults",
  "Kills",
  "Layers",
  "Laws.application",
  "Laws.processor",
  "Garbage",
  "Rebuild",
  "Controller.model",
  "Convergence",
  "Malformed",
  "Documents",
  "Verdict",
  "Limits",
  "Fuzz"
]

class LongestFirst extends BaseSequencer {
  override async sort(files: Array<TestSpecification>): Promise<Array<TestSpecification>> {
    const rank = ({ moduleId }: TestSpecification) => {
      const found = longest.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`))
      return found === -1 ? longest.length : found
    }
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b))
  }
}

// Vitest leaves a core free for itself, which is half of a small machine; while the tests run it has nothing to do.
const workers = Math.max(2, os.availableParallelism() - 1)

export default defineConfig({
  plugins: [Forced.vite],
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/turns.ts"],
    testTimeout: 180_000,
    hookTimeout: 60_000,
    typecheck: { enabled: false },
    minWorkers: workers,
    maxWorkers: workers,
    sequence: { sequencer: LongestFirst }
  }
})
