/**
 * Damage to CBOR that knows what CBOR is: heads that lie, elements that come twice or not at all, items in the wrong place or
 * in the wrong form. Bytes that are no CBOR have no items, and are left to the damage that knows nothing.
 */
import * as Bytes from "../../core/Bytes.ts"
import * as CborHead from "../../core/internal/CborHead.ts"
import type { Random } from "../InputFaults.ts"

/** An item, and where it is: its head, what is inside, its end. */
export interface Item {
  readonly major: number
  readonly argument: number
  readonly start: number
  readonly body: number
  readonly end: number
  /** The items inside an array, a map (keys and values in turn) or a tag. */
  readonly inside: ReadonlyArray<Item>
}

/** The items of `bytes` as far as they can be read, those inside others included; outer ones first. At most 500. */
export const items = (bytes: Uint8Array): ReadonlyArray<Item> => {
  const found: Array<Item> = []
  for (let at = 0; at < bytes.length && found.length < most; ) {
    const item = read(bytes, at, deepest)
    if (item === undefined) break
    list(item, found)
    at = item.end
  }
  return found
}

/** The bytes with one damage to one of their items; `undefined` where they have none. `other`: where items are taken from. */
export const damage = (bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array | undefined => {
  const all = items(bytes)
  const item = pick(all, random)
  if (item === undefined) return undefined
  const inner = embedded(bytes, item)
  if (inner !== undefined && random.below(2) === 0) {
    const damaged = damage(inner, other, random)
    // The outer length is made to fit, so that what is inside gets read.
    return damaged && replace(bytes, item.start, item.end, CborHead.bytes(damaged))
  }
  return kinds[random.below(kinds.length)]?.({ bytes, item, all, other, random })
}

// internal

const most = 500
const deepest = 100

interface Where {
  readonly bytes: Uint8Array
  readonly item: Item
  readonly all: ReadonlyArray<Item>
  readonly other: Uint8Array
  readonly random: Random
}

type Kind = (where: Where) => Uint8Array

const pick = <A>(from: ReadonlyArray<A>, { below }: Random): A | undefined => from[below(from.length)]

const replace = (bytes: Uint8Array, start: number, end: number, by: Uint8Array): Uint8Array =>
  Bytes.concat([bytes.subarray(0, start), by, bytes.subarray(end)])

const read = (bytes: Uint8Array, start: number, depth: number): Item | undefined => {
  const info = (bytes[start] ?? 31) & 31
  if (info > 27 || depth === 0) return undefined
  const { argument, end: body, major } = CborHead.read(bytes, start)
  if (body > bytes.length) return undefined
  const inside: Array<Item> = []
  let end = major === 2 || major === 3 ? body + argument : body
  const count = major === 4 ? argument : major === 5 ? argument * 2 : major === 6 ? 1 : 0
  for (let left = count; left > 0; left--) {
    const item = read(bytes, end, depth - 1)
    if (item === undefined) return undefined
    inside.push(item)
    end = item.end
  }
  return end > bytes.length ? undefined : { major, argument, start, body, end, inside }
}

const list = (item: Item, found: Array<Item>): void => {
  if (found.length >= most) return
  found.push(item)
  for (const one of item.inside) list(one, found)
}

/** What is in a byte string, where that is CBOR itself. */
const embedded = (bytes: Uint8Array, { body, end, major }: Item): Uint8Array | undefined => {
  if (major !== 2 || end - body < 2) return undefined
  const inner = bytes.subarray(body, end)
  const item = read(inner, 0, deepest)
  return item?.end === inner.length && item.inside.length > 0 ? inner : undefined
}

const lies = [0, 1, 23, 24, 31, 32, 33, 63, 64, 65, 255, 256, 512, 513, 65_535, 65_536, 0xffff_ffff, 0x1_0000_0000]

/** A head in the form that has so many bytes for its argument (0: in the first byte), which may be more than it needs. */
const headOf = (major: number, argument: number, width: number): Uint8Array => {
  const made = new Uint8Array(1 + width)
  made[0] = (major << 5) | (width === 0 ? argument & 31 : 24 + Math.log2(width))
  let rest = BigInt(argument)
  for (let at = width; at > 0; at--, rest >>= 8n) made[at] = Number(rest & 255n)
  return made
}

const otherMajor: Kind = ({ bytes, item, random }) => {
  const made = bytes.slice()
  made[item.start] = (((item.major + 1 + random.below(7)) & 7) << 5) | ((bytes[item.start] ?? 0) & 31)
  return made
}

const otherArgument: Kind = ({ bytes, item, random }) => {
  const near = item.argument + random.below(5) - 2
  const argument = random.below(2) === 0 ? Math.max(0, near) : (pick(lies, random) ?? 0)
  return replace(bytes, item.start, item.body, CborHead.head(item.major, argument))
}

const largestArgument: Kind = ({ bytes, item }) =>
  replace(
    bytes,
    item.start,
    item.body,
    Bytes.concat([Uint8Array.of((item.major << 5) | 27), new Uint8Array(8).fill(255)])
  )

const longerForm: Kind = ({ bytes, item, random }) =>
  replace(bytes, item.start, item.body, headOf(item.major, item.argument, 1 << random.below(4)))

const noLength: Kind = ({ bytes, item }) =>
  Bytes.concat([
    bytes.subarray(0, item.start),
    Uint8Array.of((item.major << 5) | 31),
    bytes.subarray(item.body, item.end),
    Uint8Array.of(0xff),
    bytes.subarray(item.end)
  ])

/** One of the things inside with the count made to fit, or not. */
const recounted = ({ bytes, item, random }: Where, change: number, inside: Uint8Array): Uint8Array => {
  const pairs = item.major === 5 ? 2 : 1
  const argument = random.below(4) === 0 ? item.argument : Math.max(0, item.argument + change / pairs)
  const head = item.major === 4 || item.major === 5 ? CborHead.head(item.major, Math.floor(argument)) : undefined
  return replace(bytes, item.start, item.end, Bytes.concat([head ?? bytes.subarray(item.start, item.body), inside]))
}

/** As many things as belong together: one element, or a key and its value. */
const group = ({ item, random }: Where) => {
  const size = item.major === 5 ? 2 : 1
  const from = random.below(Math.max(1, item.inside.length / size)) * size
  const start = item.inside[from]?.start ?? item.body
  return { size, start, end: item.inside[from + size - 1]?.end ?? start }
}

const twice: Kind = (where) => {
  const { bytes, item } = where
  const { end, size, start } = group(where)
  const inside = [bytes.subarray(item.body, end), bytes.subarray(start, end), bytes.subarray(end, item.end)]
  return recounted(where, size, Bytes.concat(inside))
}

const without: Kind = (where) => {
  const { bytes, item } = where
  const { end, size, start } = group(where)
  return recounted(where, -size, Bytes.concat([bytes.subarray(item.body, start), bytes.subarray(end, item.end)]))
}

const swapped: Kind = (where) => {
  const { bytes, item } = where
  const [one, two] = [group(where), group(where)].sort((a, b) => a.start - b.start)
  if (one === undefined || two === undefined || one.start === two.start) return twice(where)
  return recounted(
    where,
    0,
    Bytes.concat([
      bytes.subarray(item.body, one.start),
      bytes.subarray(two.start, two.end),
      bytes.subarray(one.end, two.start),
      bytes.subarray(one.start, one.end),
      bytes.subarray(two.end, item.end)
    ])
  )
}

const wrapped: Kind = ({ bytes, item, random }) => {
  const around = pick([0x81, 0xa1, 0xc0, 0xc2, 0xc3, 0xd8], random) ?? 0x81
  const level = around === 0xa1 ? [0xa1, 0x00] : around === 0xd8 ? [0xd8, 0x20] : [around]
  const times =
    random.below(4) === 0 ? pick([12, 13, 62, 63, 64, 65, 199, 200, 1000, 3000], random) : 1 + random.below(3)
  const levels = Array.from({ length: times ?? 1 }, () => level).flat()
  return replace(bytes, item.start, item.start, Uint8Array.from(levels))
}

/** Items that have surprised a reader somewhere. */
const surprises = [
  "00",
  "20",
  "17",
  "1818",
  "1bffffffffffffffff",
  "3bffffffffffffffff",
  "40",
  "4100",
  "5820" + "00".repeat(32),
  "5820" + "ff".repeat(32),
  "60",
  "6100",
  "61ff",
  "63eda080",
  "64f0908080",
  "64efbbbf61",
  "695f5f70726f746f5f5f",
  "80",
  "a0",
  "a2000000f4",
  "f4",
  "f5",
  "f6",
  "f7",
  "e0",
  "f8ff",
  "f820",
  "f90000",
  "f98000",
  "f97e00",
  "f97c00",
  "fa7f800001",
  "fb7ff0000000000001",
  "fb3ff0000000000000",
  "fa47c35000",
  "c249010000000000000000",
  "c24100",
  "c100",
  "ff"
].map(Bytes.fromHex)

const surprise: Kind = ({ bytes, item, random }) =>
  replace(bytes, item.start, item.end, pick(surprises, random) ?? new Uint8Array())

/** Another item of the same bytes, or of others, in its place. */
const transplant: Kind = ({ all, bytes, item, other, random }) => {
  const own = random.below(2) === 0
  const from = own ? bytes : other
  const donor = pick(own ? all : items(other), random)
  return donor === undefined ? bytes : replace(bytes, item.start, item.end, from.subarray(donor.start, donor.end))
}

const kinds: ReadonlyArray<Kind> = [
  otherMajor,
  otherArgument,
  otherArgument,
  largestArgument,
  longerForm,
  noLength,
  twice,
  without,
  swapped,
  wrapped,
  surprise,
  surprise,
  transplant,
  transplant
]
