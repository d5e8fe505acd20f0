/** The witness of our own logs: what it knows whatever is cut off, damaged, told late or by two, and put in its place. */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Hash from "../../src/core/Hash.ts"
import * as Log from "../../src/core/Log.ts"
import * as LogId from "../../src/core/LogId.ts"
import * as VerifyingKey from "../../src/core/VerifyingKey.ts"
import * as WitnessFile from "../../src/store/internal/witnessFile.ts"
import * as Lines from "../../src/store/internal/witnessLines.ts"
import * as Witness from "../../src/store/Witness.ts"
import { directory } from "../support/ScenarioDatabase.ts"

const bytes = (n: number) => new Uint8Array(32).fill(n)
const log = (n: number) => Log.key(VerifyingKey.fromBytes(bytes(n)), LogId.fromBytes(bytes(n + 100)))
const id = (n: number) => Hash.fromBytes(bytes(n % 256))
const published = (n: number, seqNum: number): Witness.Entry => ({
  _tag: "Published",
  log: log(n),
  place: { seqNum, id: id(seqNum) }
})
const begun = (n: number): Witness.Entry => ({ _tag: "Begun", log: log(n) })

const seqNums = (known: ReadonlyMap<Log.Key, Witness.Known>) =>
  Object.fromEntries(Array.from(known, ([key, { place }]) => [key.slice(0, 2), place?.seqNum ?? "begun"]))

/** A file, opened as a program of its own does it. */
const opened = (file: string): Effect.Effect<Witness.Service, never, Scope.Scope> =>
  Effect.map(Layer.build(Witness.file(file)), (context) => Context.get(context, Witness.Witness))

const test = <A, E>(name: string, self: (file: string) => Effect.Effect<A, E, Scope.Scope>) =>
  it.scoped(name, () => Effect.flatMap(directory, (dir) => self(path.join(dir, "peer.own"))))

describe("a witness", () => {
  it("knows the newest place, in whatever order it is told, and goes back only where that is confirmed", () => {
    const fold = (entries: ReadonlyArray<Witness.Entry>) =>
      entries.reduce<Witness.Known | undefined>(Witness.absorb, undefined)?.place?.seqNum
    assert.strictEqual(fold([begun(1)]), undefined)
    assert.strictEqual(fold([begun(1), published(1, 4), published(1, 3), begun(1)]), 4)
    assert.strictEqual(
      fold([published(1, 4), { _tag: "Confirmed", log: log(1), place: { seqNum: 2, id: id(2) } }, published(1, 1)]),
      2
    )
    assert.strictEqual(fold([published(1, 4), { _tag: "Confirmed", log: log(1), place: undefined }]), undefined)
  })
})

describe("its file", () => {
  test("is made with the first line, for its owner only, and holds what another program finds", (file) =>
    Effect.gen(function* () {
      const one = yield* opened(file)
      assert.deepStrictEqual(seqNums(yield* one.all), {})
      assert.isFalse(fs.existsSync(file))
      yield* one.write(begun(1))
      yield* one.write(published(2, 7))
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      assert.deepStrictEqual(seqNums(yield* one.all), { "01": "begun", "02": 7 })
      const other = yield* opened(file)
      assert.deepStrictEqual(yield* other.all, yield* one.all)
      yield* other.write(published(1, 0))
      assert.deepStrictEqual(seqNums(yield* one.all), { "01": 0, "02": 7 })
    }))

  test("that was cut off anywhere, in its title too, is read as far as its lines are whole, and is gone on with", (file) =>
    Effect.gen(function* () {
      const first = yield* opened(file)
      yield* first.write(published(1, 1))
      yield* first.write(published(1, 2))
      const whole = fs.readFileSync(file)
      const ends = [Lines.title.length + 2, Lines.title.length + 2 + Lines.write(published(1, 1)).length]
      for (let length = 0; length < whole.length; length += 3) {
        const cut = `${file}.${length}`
        fs.writeFileSync(cut, whole.subarray(0, length))
        const again = yield* opened(cut)
        const known = length < (ends[1] ?? 0) ? undefined : length < whole.length ? 1 : 2
        assert.deepStrictEqual(seqNums(yield* again.all), known === undefined ? {} : { "01": known }, `${length}`)
        yield* again.write(published(1, 9))
        assert.deepStrictEqual(seqNums(yield* (yield* opened(cut)).all), { "01": 9 }, `${length}`)
      }
    }))

  test("passes over what was damaged, and over the zeros that a loss of power leaves", (file) =>
    Effect.gen(function* () {
      const first = yield* opened(file)
      yield* first.write(published(1, 1))
      const size = fs.statSync(file).size
      yield* first.write(published(1, 2))
      const whole = fs.readFileSync(file)
      for (let at = size + 1; at < whole.length - 1; at += 5) {
        const damaged = Uint8Array.from(whole)
        damaged[at] = (damaged[at] ?? 0) ^ 0x04
        fs.writeFileSync(
          file,
          [damaged, new Uint8Array(7)].map((part) => Buffer.from(part)).reduce((a, b) => Buffer.concat([a, b]))
        )
        const again = yield* opened(file)
        assert.deepStrictEqual(seqNums(yield* again.all), { "01": 1 }, `${at}`)
        yield* again.write(published(2, 3))
        assert.deepStrictEqual(seqNums(yield* again.all), { "01": 1, "02": 3 }, `${at}`)
      }
    }))

  test("that is something else is not touched", (file) =>
    Effect.gen(function* () {
      fs.writeFileSync(file, "a secret\n")
      const witness = yield* opened(file)
      assert.strictEqual((yield* Effect.flip(witness.all)).what, "read")
      const error = yield* Effect.flip(witness.write(begun(1)))
      assert.deepInclude({ ...error }, { _tag: "WitnessFailed", witness: file, what: "write" })
      assert.include(error.message, "something else")
      assert.strictEqual(fs.readFileSync(file, "utf8"), "a secret\n")
    }))

  test("that cannot be written is a typed error that names it, and can be written when the reason is gone", (file) =>
    Effect.gen(function* () {
      const inside = path.join(file, "peer.own")
      const witness = yield* opened(inside)
      assert.deepStrictEqual(seqNums(yield* witness.all), {})
      const error = yield* Effect.flip(witness.write(begun(1)))
      assert.deepInclude({ ...error }, { witness: inside, what: "write", code: "ENOENT" })
      fs.mkdirSync(file)
      yield* witness.write(begun(1))
      assert.deepStrictEqual(seqNums(yield* witness.all), { "01": "begun" })
    }))

  test("that somebody deleted is not believed in any more", (file) =>
    Effect.gen(function* () {
      const witness = yield* opened(file)
      yield* witness.write(published(1, 3))
      fs.rmSync(file)
      assert.deepStrictEqual(seqNums(yield* witness.all), {})
      yield* witness.write(published(1, 4))
      assert.deepStrictEqual(seqNums(yield* witness.all), { "01": 4 })
    }))

  test("that is large is written anew before it is written to, and what others append meanwhile is not lost", (file) =>
    Effect.gen(function* () {
      const found = yield* WitnessFile.node
      if (found === undefined) return yield* Effect.dieMessage("this is Node")
      const writer = yield* opened(file)
      for (let seqNum = 0; seqNum < 40; seqNum++) yield* writer.write(published(1, seqNum))
      const before = fs.statSync(file).size
      // Somebody writes right before the shorter file gets the name.
      const meddled: WitnessFile.Node = {
        ...found,
        fs: {
          ...found.fs,
          renameSync: (from, to) => {
            Effect.runSync(writer.write(published(2, 5)))
            found.fs.renameSync(from, to)
          }
        }
      }
      const compacting = WitnessFile.make(meddled, file, Witness.absorb, 1000)
      assert.deepStrictEqual(seqNums(yield* compacting.all), { "01": 39 })
      assert.strictEqual(fs.statSync(file).size, before)
      yield* compacting.append(published(3, 1))
      assert.deepStrictEqual(seqNums(yield* compacting.all), { "01": 39, "02": 5, "03": 1 })
      assert.isBelow(fs.statSync(file).size, before / 4)
      // He finds the new file by himself.
      yield* writer.write(published(1, 40))
      assert.deepStrictEqual(seqNums(yield* compacting.all), { "01": 40, "02": 5, "03": 1 })
      assert.deepStrictEqual(seqNums(yield* (yield* opened(file)).all), { "01": 40, "02": 5, "03": 1 })
      assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [path.basename(file)])
      yield* compacting.close
    }))

  it.scoped("told by two programs, with pieces of lines in between, knows what one that is told in order does", () =>
    Effect.gen(function* () {
      const dir = yield* directory
      const place = FastCheck.record({ seqNum: FastCheck.nat(30), id: FastCheck.nat(255).map(id) })
      const entry = FastCheck.tuple(FastCheck.nat(3), FastCheck.nat(9), place).map(
        ([n, kind, place]): Witness.Entry =>
          kind === 0
            ? begun(n)
            : kind === 1
              ? { _tag: "Confirmed", log: log(n), place: place.seqNum === 0 ? undefined : place }
              : { _tag: "Published", log: log(n), place }
      )
      const steps = FastCheck.array(FastCheck.tuple(entry, FastCheck.nat(1), FastCheck.nat(300)), { maxLength: 30 })
      for (const [nth, sequence] of FastCheck.sample(steps, { numRuns: 60, seed: 7 }).entries()) {
        const file = path.join(dir, `${nth}.own`)
        const both = [yield* opened(file), yield* opened(file)] as const
        const inOrder = new Map<Log.Key, Witness.Known>()
        for (const [one, who, cut] of sequence) {
          yield* both[who === 0 ? 0 : 1].write(one)
          inOrder.set(one.log, Witness.absorb(inOrder.get(one.log), one))
          const text = Lines.write(one)
          if (cut > 0 && cut < text.length - 1) fs.appendFileSync(file, text.slice(0, cut))
        }
        assert.deepStrictEqual(yield* both[0].all, inOrder)
        assert.deepStrictEqual(yield* both[1].all, inOrder)
      }
    })
  )
})
