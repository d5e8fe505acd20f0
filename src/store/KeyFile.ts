/**
 * Signing keys in files that only their owner can read: the 32-byte seed as 64 hex characters and a line break.
 *
 * The key itself is in no error, log or span.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type { PlatformError } from "@effect/platform/Error"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Crypto } from "../core/Crypto.ts"
import * as SigningKey from "../core/SigningKey.ts"

/** There is a file of this name already. A key is never written over anything. */
export class KeyFileExists extends Schema.TaggedError<KeyFileExists>()("KeyFileExists", { file: Schema.String }) {
  override get message() {
    return `${this.file} exists already and was not touched. Choose another name for the new key.`
  }
}

/** Others than the owner may use the file: the key may be known to them. `mode`: the permissions, such as 0o644. */
export class KeyFileExposed extends Schema.TaggedError<KeyFileExposed>()("KeyFileExposed", {
  file: Schema.String,
  mode: Schema.Number
}) {
  override get message() {
    const mode = this.mode.toString(8).padStart(4, "0")
    return `Others may read or change the signing key in ${this.file} (mode ${mode}). If nobody has, run: chmod 600 ${this.file}`
  }
}

/** The file holds no key. What it holds is not told: it may be a key with a slip in it. */
export class InvalidKeyFile extends Schema.TaggedError<InvalidKeyFile>()("InvalidKeyFile", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `${this.file} holds no signing key. ${this.detail}`
  }
}

/**
 * Makes a new key and saves it.
 *
 * @example
 * const key = yield* KeyFile.generate("parrot.key")
 */
export const generate = (
  file: string
): Effect.Effect<SigningKey.SigningKey, KeyFileExists | PlatformError, FileSystem.FileSystem | Crypto> =>
  Effect.tap(SigningKey.generate, (key) => save(file, key))

/** Saves a key in a new file that only its owner can read. It is on the disk when this returns. */
export const save = (
  file: string,
  key: SigningKey.SigningKey
): Effect.Effect<void, KeyFileExists | PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    // Opening is what fails where there is a file, so that none can come in between.
    const opened = yield* fileSystem.open(file, { flag: "wx", mode: 0o600 })
    yield* Effect.zipRight(opened.writeAll(line(key)), opened.sync).pipe(
      // Half a key would be in the way of the next attempt.
      Effect.onError(() => Effect.ignore(fileSystem.remove(file)))
    )
  }).pipe(
    Effect.scoped,
    Effect.mapError((error) =>
      error._tag === "SystemError" && error.reason === "AlreadyExists" ? new KeyFileExists({ file }) : error
    )
  )

/** Reads a key. A file that others may read or change is refused (not on Windows, which has no such permissions). */
export const load = (
  file: string
): Effect.Effect<
  SigningKey.SigningKey,
  KeyFileExposed | InvalidKeyFile | PlatformError,
  FileSystem.FileSystem | Path.Path
> =>
  Effect.gen(function* () {
    const fileSystem = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const opened = yield* fileSystem.open(file, { flag: "r" })
    const { mode } = yield* opened.stat
    if (path.sep === "/" && (mode & 0o077) !== 0) return yield* new KeyFileExposed({ file, mode: mode & 0o777 })
    const bytes = Option.getOrElse(yield* opened.readAlloc(longest), () => new Uint8Array(0))
    const text = new TextDecoder().decode(bytes).trim()
    return yield* Either.mapLeft(
      SigningKey.fromHex(text),
      ({ message }) => new InvalidKeyFile({ file, detail: message })
    )
  }).pipe(Effect.scoped)

// internal

/** More than a key and some white space is not read: whatever it is, it is no key. */
const longest = 256

const line = (key: SigningKey.SigningKey): Uint8Array => new TextEncoder().encode(`${SigningKey.toHex(key)}\n`)
