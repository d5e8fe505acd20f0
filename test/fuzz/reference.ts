/**
 * A second reader of the same bytes: slow, plain, and written without a look at the first. It makes a tree of what it reads,
 * writes the tree in the one canonical form, and compares: what comes out otherwise was not canonical.
 */
import * as Cbor from "../../src/core/Cbor.ts"

export type Tree =
  | { readonly is: "integer"; readonly value: bigint }
  | { readonly is: "bytes"; readonly value: Buffer }
  | { readonly is: "text"; readonly value: string }
  | { readonly is: "array"; readonly value: ReadonlyArray<Tree> }
  | { readonly is: "map"; readonly value: ReadonlyArray<readonly [Tree, Tree]> }
  | { readonly is: "tag"; readonly tag: bigint; readonly value: Tree }
  | { readonly is: "simple"; readonly value: number }
  | { readonly is: "float"; readonly bits: Buffer }

export interface Limits {
  readonly recursion: number
  readonly length: number
}

export const headerLimits: Limits = { recursion: 64, length: 512 }
export const extensionsLimits: Limits = { recursion: 63, length: 512 }
export const valueLimits: Limits = { recursion: 200, length: 1_000_000_000 }

class No extends Error {}

/** The item at the beginning, and where it ends; none where it is not canonical, or beyond the limits. */
export const first = (bytes: Uint8Array, limits: Limits): { readonly tree: Tree; readonly end: number } | undefined => {
  const buffer = Buffer.from(bytes)
  try {
    const source = { buffer, at: 0, limits }
    const tree = parse(source, limits.recursion)
    return write(tree).equals(buffer.subarray(0, source.at)) ? { tree, end: source.at } : undefined
  } catch (error) {
    if (error instanceof No) return undefined
    throw error
  }
}

/** {@link first}, where nothing comes after it. */
export const whole = (bytes: Uint8Array, limits: Limits): Tree | undefined => {
  const found = first(bytes, limits)
  return found?.end === bytes.length ? found.tree : undefined
}

/** What `Cbor.decode` has to make of it. */
export const value = (tree: Tree): unknown => {
  switch (tree.is) {
    case "integer":
      return narrow(tree.value)
    case "bytes":
      return new Uint8Array(tree.value)
    case "text":
      return tree.value
    case "array":
      return tree.value.map(value)
    case "map":
      return map(tree.value)
    case "tag":
      if ((tree.tag === 2n || tree.tag === 3n) && tree.value.is === "bytes") return bignum(tree.tag, tree.value.value)
      return new Cbor.Tagged({ tag: narrow(tree.tag), value: value(tree.value) })
    case "simple":
      return tree.value === 20 ? false : tree.value === 21 ? true : tree.value === 22 ? null : undefinedOr(tree.value)
    case "float":
      return number(tree.bits)
  }
}

/** Whether JavaScript has one value for two keys of a map in it. */
export const isAmbiguous = (tree: Tree): boolean => {
  if (tree.is === "array") return tree.value.some(isAmbiguous)
  if (tree.is === "tag") return isAmbiguous(tree.value)
  if (tree.is !== "map") return false
  const keys = tree.value.map(([key]) => value(key))
  return new Set(keys).size < keys.length || tree.value.some(([key, one]) => isAmbiguous(key) || isAmbiguous(one))
}

export interface Header {
  readonly verifyingKey: string
  readonly signature: string
  readonly payloadSize: number
  readonly payloadHash: string | undefined
  readonly seqNum: number
  readonly backlink: string | undefined
  readonly extensions: string | undefined
}

/** The header, where it is one. */
export const header = (bytes: Uint8Array): Header | undefined => {
  const tree = whole(bytes, headerLimits)
  if (tree?.is !== "array") return undefined
  const rest = [...tree.value]
  const unsigned = (most: bigint) => {
    const one = rest.shift()
    if (one?.is !== "integer" || one.value < 0n || one.value > most) throw new No()
    return Number(one.value)
  }
  const fixed = (size: number) => {
    const one = rest.shift()
    if (one?.is !== "bytes" || one.value.length !== size) throw new No()
    return one.value.toString("hex")
  }
  try {
    if (unsigned(65_535n) !== 1) return undefined
    const verifyingKey = fixed(32)
    const signature = fixed(64)
    const payloadSize = unsigned(0xffff_ffffn)
    const payloadHash = payloadSize === 0 ? undefined : fixed(32)
    const seqNum = unsigned(0xffff_ffffn)
    const backlink = seqNum === 0 ? undefined : fixed(32)
    const extensions = rest.shift()
    if (rest.length > 0) return undefined
    const extensionsHex = extensions === undefined ? undefined : write(extensions).toString("hex")
    return { verifyingKey, signature, payloadSize, payloadHash, seqNum, backlink, extensions: extensionsHex }
  } catch (error) {
    if (error instanceof No) return undefined
    throw error
  }
}

export interface Extensions {
  readonly format: "Node" | "Open"
  readonly logId: string
  readonly timestamp: bigint | undefined
  readonly prune: boolean
  readonly previous: ReadonlyArray<string>
  readonly deletes: ReadonlyArray<string>
}

/** The extensions, where they are some of that format. */
export const extensions = (bytes: Uint8Array, format: "Node" | "Open"): Extensions | undefined => {
  const tree = whole(bytes, extensionsLimits)
  if (tree === undefined) return undefined
  return format === "Node" ? node(untagged(tree)) : open(tree)
}

// internal

interface Source {
  readonly buffer: Buffer
  at: number
  readonly limits: Limits
}

const take = (source: Source, size: number): Buffer => {
  if (source.at + size > source.buffer.length) throw new No()
  source.at += size
  return source.buffer.subarray(source.at - size, source.at)
}

const parse = (source: Source, depth: number): Tree => {
  const initial = take(source, 1).readUInt8()
  const major = initial >> 5
  const info = initial % 32
  if (info > 27) throw new No()
  const argument = info < 24 ? Buffer.of(info) : take(source, 2 ** (info - 24))
  if (major === 7) return special(info, argument)
  const size = BigInt(`0x${argument.toString("hex")}`)
  if (major === 0) return { is: "integer", value: size }
  if (major === 1) return { is: "integer", value: -1n - size }
  if (major < 6 && size > BigInt(source.limits.length)) throw new No()
  if (major === 2) return { is: "bytes", value: take(source, Number(size)) }
  if (major === 3) return { is: "text", value: text(take(source, Number(size))) }
  if (depth === 0) throw new No()
  if (major === 6) return { is: "tag", tag: size, value: parse(source, depth - 1) }
  const many = <A>(one: () => A) => {
    const made: Array<A> = []
    for (let left = size; left > 0n; left--) made.push(one())
    return made
  }
  if (major === 4) return { is: "array", value: many(() => parse(source, depth - 1)) }
  return { is: "map", value: many(() => [parse(source, depth - 1), parse(source, depth - 1)] as const) }
}

const special = (info: number, argument: Buffer): Tree => {
  if (info > 24) return { is: "float", bits: Buffer.from(argument) }
  const simple = argument.readUInt8()
  if (info === 24 && simple < 32) throw new No()
  return { is: "simple", value: simple }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const text = (bytes: Buffer): string => {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new No()
  }
}

const head = (major: number, argument: bigint): Buffer => {
  if (argument < 24n) return Buffer.of(major * 32 + Number(argument))
  const hex = argument.toString(16)
  const width = [1, 2, 4, 8].find((bytes) => hex.length <= bytes * 2)
  if (width === undefined) throw new No()
  return Buffer.concat([
    Buffer.of(major * 32 + 24 + Math.log2(width)),
    Buffer.from(hex.padStart(width * 2, "0"), "hex")
  ])
}

const write = (tree: Tree): Buffer => {
  switch (tree.is) {
    case "integer":
      return tree.value < 0n ? head(1, -1n - tree.value) : head(0, tree.value)
    case "bytes":
      return Buffer.concat([head(2, BigInt(tree.value.length)), tree.value])
    case "text": {
      const bytes = Buffer.from(tree.value, "utf8")
      return Buffer.concat([head(3, BigInt(bytes.length)), bytes])
    }
    case "array":
      return Buffer.concat([head(4, BigInt(tree.value.length)), ...tree.value.map(write)])
    case "map":
      return Buffer.concat([head(5, BigInt(tree.value.length)), ...sorted(tree.value)])
    case "tag":
      if ((tree.tag === 2n || tree.tag === 3n) && tree.value.is === "bytes") return big(tree.tag, tree.value.value)
      return Buffer.concat([head(6, tree.tag), write(tree.value)])
    case "simple":
      return tree.value < 24 ? Buffer.of(0xe0 + tree.value) : Buffer.of(0xf8, tree.value)
    case "float":
      return shortest(tree.bits)
  }
}

const sorted = (entries: ReadonlyArray<readonly [Tree, Tree]>): ReadonlyArray<Buffer> => {
  const pairs = entries.map(([key, one]) => [write(key), write(one)] as const)
  pairs.sort(([a], [b]) => Buffer.compare(a, b))
  if (pairs.some(([key], at) => pairs[at + 1]?.[0].equals(key))) throw new No()
  return pairs.flat()
}

const bignum = (tag: bigint, bytes: Buffer): bigint => {
  const size = bytes.length === 0 ? 0n : BigInt(`0x${bytes.toString("hex")}`)
  return tag === 2n ? size : -1n - size
}

/** A number has one form: as an integer where that holds it, else as a bignum without zeros in front. */
const big = (tag: bigint, bytes: Buffer): Buffer => {
  const found = bignum(tag, bytes)
  const size = found < 0n ? -1n - found : found
  if (size < 2n ** 64n) return write({ is: "integer", value: found })
  const hex = size.toString(16)
  const least = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex")
  return Buffer.concat([head(6, tag), head(2, BigInt(least.length)), least])
}

/** What each of the 65,536 short floats says, as the bits of a long one. */
const halves = new Map<string, number>()
const long = (value: number): string => {
  const bits = Buffer.alloc(8)
  bits.writeDoubleBE(value)
  return bits.toString("hex")
}
const half = (bits: number): number => {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = (bits & 1023) / 1024
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15)
}
for (let bits = 0; bits < 65_536; bits++) if (!Number.isNaN(half(bits))) halves.set(long(half(bits)), bits)

const number = (bits: Buffer): number =>
  bits.length === 2 ? half(bits.readUInt16BE()) : bits.length === 4 ? bits.readFloatBE() : bits.readDoubleBE()

const shortest = (bits: Buffer): Buffer => {
  const found = number(bits)
  if (Number.isNaN(found)) return Buffer.concat([floatHead(shortestNaN(bits)), shortestNaN(bits)])
  const short = halves.get(long(found))
  if (short !== undefined) return Buffer.of(0xf9, short >> 8, short & 255)
  const made = Buffer.alloc(Math.fround(found) === found ? 4 : 8)
  if (made.length === 4) made.writeFloatBE(found)
  else made.writeDoubleBE(found)
  return Buffer.concat([floatHead(made), made])
}

const floatHead = (bits: Buffer): Buffer => Buffer.of(0xf8 + Math.log2(bits.length))

/** A NaN keeps the bits that it carries: they are at its left end, behind the exponent. */
const shortestNaN = (bits: Buffer): Buffer => {
  const all = BigInt(`0x${bits.toString("hex")}`)
  if (bits.length === 8 && all % 2n ** 29n === 0n) {
    const made = Buffer.alloc(4)
    made.writeUInt32BE(Number(((all >> 63n) << 31n) | 0x7f80_0000n | ((all >> 29n) & 0x7f_ffffn)))
    return shortestNaN(made)
  }
  if (bits.length === 4 && all % 2n ** 13n === 0n) {
    const made = Buffer.alloc(2)
    made.writeUInt16BE(Number(((all >> 31n) << 15n) | 0x7c00n | ((all >> 13n) & 0x3ffn)))
    return made
  }
  return bits
}

const narrow = (value: bigint): number | bigint => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

const undefinedOr = (simple: number): unknown => (simple === 23 ? undefined : new Cbor.Simple({ value: simple }))

const map = (entries: ReadonlyArray<readonly [Tree, Tree]>): unknown => {
  const made = new Map(entries.map(([key, one]) => [value(key), value(one)]))
  return entries.every(([key]) => key.is === "text") ? Object.fromEntries(made) : made
}

const untagged = (tree: Tree): Tree => (tree.is === "tag" ? untagged(tree.value) : tree)

const hash32 = (tree: Tree | undefined): string | undefined =>
  tree?.is === "bytes" && tree.value.length === 32 ? tree.value.toString("hex") : undefined

const uint64 = (tree: Tree | undefined): bigint | undefined =>
  tree?.is === "integer" && tree.value >= 0n ? tree.value : undefined

const bool = (tree: Tree | undefined): boolean | undefined =>
  tree?.is === "simple" && tree.value === 21 ? true : tree?.is === "simple" && tree.value === 20 ? false : undefined

const node = (tree: Tree): Extensions | undefined => {
  if (tree.is !== "array") return undefined
  const [version, variant, log, time, last] = tree.value.map(untagged)
  const logId = hash32(log)
  const timestamp = uint64(time)
  if (uint64(version) !== 1n || logId === undefined || timestamp === undefined) return undefined
  const made = { format: "Node", logId, timestamp, prune: false, previous: [], deletes: [] } as const
  if (uint64(variant) === 0n) {
    const prune = bool(last)
    return prune === undefined ? undefined : { ...made, prune }
  }
  if (uint64(variant) !== 1n || last?.is !== "array") return undefined
  const previous = last.value.map((one) => hash32(untagged(one)))
  return previous.includes(undefined) ? undefined : { ...made, previous: [...new Set(previous.flatMap(known))] }
}

const known = <A>(one: A | undefined): ReadonlyArray<A> => (one === undefined ? [] : [one])

const open = (tree: Tree): Extensions | undefined => {
  if (tree.is !== "map") return undefined
  const fields = new Map(tree.value.map(([key, one]) => [key.is === "text" ? key.value : undefined, one]))
  if (fields.has(undefined)) return undefined
  const optional = <A>(key: string, otherwise: A, is: (tree: Tree) => A | undefined) => {
    const found = fields.get(key)
    const read = found === undefined ? otherwise : is(found)
    if (found !== undefined && read === undefined) throw new No()
    return read ?? otherwise
  }
  const hashes = (tree: Tree): ReadonlyArray<string> | undefined => {
    if (tree.is !== "array") return undefined
    const ids = tree.value.flatMap((one) => known(hash32(one)))
    return ids.length === tree.value.length && new Set(ids).size === ids.length ? ids : undefined
  }
  const logId = hash32(fields.get("log"))
  if (logId === undefined) return undefined
  try {
    return {
      format: "Open",
      logId,
      timestamp: optional<bigint | undefined>("timestamp", undefined, uint64),
      prune: optional<boolean>("prune", false, bool),
      previous: optional<ReadonlyArray<string>>("previous", [], hashes),
      deletes: optional<ReadonlyArray<string>>("deletes", [], hashes)
    }
  } catch (error) {
    if (error instanceof No) return undefined
    throw error
  }
}
