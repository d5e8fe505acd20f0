import { assert, it } from "@effect/vitest"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import { inspect } from "node:util"
import * as Crypto from "../../src/core/Crypto.ts"
import * as SigningKey from "../../src/core/SigningKey.ts"
import * as KeyFile from "../../src/store/KeyFile.ts"

const live = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, Crypto.layer)

const setup = Effect.gen(function* () {
  const fileSystem = yield* FileSystem.FileSystem
  const file = `${yield* fileSystem.makeTempDirectoryScoped()}/key`
  return { fileSystem, file }
})

it.layer(live)("KeyFile", (it) => {
  it.scoped("what was saved is loaded, from a file that only its owner can read", () =>
    Effect.gen(function* () {
      const { file, fileSystem } = yield* setup
      const key = yield* KeyFile.generate(file)
      assert.strictEqual(SigningKey.toHex(yield* KeyFile.load(file)), SigningKey.toHex(key))
      assert.strictEqual((yield* fileSystem.stat(file)).mode & 0o777, 0o600)
      assert.strictEqual(yield* fileSystem.readFileString(file), `${SigningKey.toHex(key)}\n`)
    })
  )

  it.scoped("nothing is written over", () =>
    Effect.gen(function* () {
      const { file, fileSystem } = yield* setup
      yield* fileSystem.writeFileString(file, "precious")
      const error = yield* Effect.flip(KeyFile.generate(file))
      assert.instanceOf(error, KeyFile.KeyFileExists)
      assert.include(error.message, file)
      assert.strictEqual(yield* fileSystem.readFileString(file), "precious")
    })
  )

  it.scoped("a file that is not written whole is taken away", () =>
    Effect.gen(function* () {
      const { file, fileSystem } = yield* setup
      const broken: FileSystem.FileSystem = {
        ...fileSystem,
        open: (path, options) =>
          Effect.map(fileSystem.open(path, options), (opened) => ({
            ...opened,
            writeAll: () => fileSystem.stat(`${file}.full`).pipe(Effect.asVoid),
            sync: opened.sync,
            stat: opened.stat
          }))
      }
      yield* Effect.flip(Effect.provideService(KeyFile.generate(file), FileSystem.FileSystem, broken))
      assert.isFalse(yield* fileSystem.exists(file))
    })
  )

  it.scoped("a file that others may use is refused, whatever the permission", () =>
    Effect.gen(function* () {
      const { file, fileSystem } = yield* setup
      yield* KeyFile.generate(file)
      for (const mode of [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777]) {
        yield* fileSystem.chmod(file, mode)
        const error = yield* Effect.flip(KeyFile.load(file))
        assert.instanceOf(error, KeyFile.KeyFileExposed)
        assert.include(error.message, `chmod 600 ${file}`)
      }
      yield* fileSystem.chmod(file, 0o400)
      yield* KeyFile.load(file)
    })
  )

  it.scoped("a file that holds no key is a typed error that does not tell what it holds", () =>
    Effect.gen(function* () {
      const { file, fileSystem } = yield* setup
      yield* fileSystem.writeFileString(file, "", { mode: 0o600 })
      const contents = FastCheck.oneof(
        FastCheck.string({ maxLength: 2000 }),
        FastCheck.stringMatching(/^[0-9a-f]{63}$/),
        FastCheck.stringMatching(/^[0-9a-f]{63}[g-z]$/),
        FastCheck.stringMatching(/^[0-9a-f]{65,300}$/)
      )
      const check = (text: string) =>
        Effect.gen(function* () {
          yield* fileSystem.writeFileString(file, text)
          const error = yield* Effect.flip(KeyFile.load(file))
          assert.instanceOf(error, KeyFile.InvalidKeyFile)
          const said = [String(error), inspect(error, { depth: null }), JSON.stringify(error)].join("\n")
          if (text.trim().length > 12) assert.notInclude(said.replaceAll(file, ""), text.trim().slice(0, 12))
        })
      for (const text of FastCheck.sample(contents, { numRuns: 100, seed: 1 })) yield* check(text)
    })
  )

  it.scoped("the key is in no error, log or span", () =>
    Effect.gen(function* () {
      const { file } = yield* setup
      const key = yield* KeyFile.generate(file)
      const secret = SigningKey.toHex(key)
      const said: Array<string> = []
      const exits = yield* Effect.all([
        Effect.exit(KeyFile.save(file, key)),
        Effect.exit(KeyFile.save(`${file}/no/directory`, key)),
        Effect.exit(KeyFile.load(file))
      ])
      for (const exit of exits) said.push(inspect(exit, { depth: null }), JSON.stringify(exit), String(exit))
      assert.notInclude(said.join("\n"), secret)
    })
  )

  it.scoped("a missing file is the platform's error", () =>
    Effect.gen(function* () {
      const { file } = yield* setup
      const error = yield* Effect.flip(KeyFile.load(file))
      assert.deepInclude({ ...error }, { _tag: "SystemError", reason: "NotFound", pathOrDescriptor: file })
    })
  )
})
