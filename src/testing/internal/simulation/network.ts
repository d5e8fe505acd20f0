/** The network between the peers: what is sent is lost, delayed, doubled and damaged, as far as that is switched on. */
import type { Message, Sent } from "../../Simulation.ts"
import { broke, count, flipped, say, type Life, type Member, type World } from "./world.ts"

/** Sends something from a program to whoever is at the other end when it arrives. */
export const send = <M, E>(world: World<M, E>, from: Member<M, E>, to: string, message: Message): void => {
  const target = world.members.find(({ name }) => name === to)
  if (target === undefined) return
  const { faults, random } = world
  for (const one of message.operations) {
    const twice = world.names.handedOut(from.author, one)
    if (twice !== undefined) broke(world, twice)
  }
  const what = `${from.name}→${to} ${contents(world, message)}`
  if (world.apart.has(from.name) !== world.apart.has(to)) {
    count(world, "cut off")
    return say(world, `${what}: cut off`)
  }
  if (faults.has("loss") && random.network.chance(0.15)) {
    count(world, "lost")
    return say(world, `${what}: lost`)
  }
  say(world, what)
  fly(world, from, target, message)
  if (faults.has("duplication") && random.network.chance(0.1)) {
    count(world, "duplicated")
    say(world, `${what}: once more`)
    fly(world, from, target, message)
  }
}

/** What is in a message, by names. */
export const contents = <M, E>({ names }: World<M, E>, { has, operations, wants }: Message): string =>
  [
    ...operations.map((one) => names.of(one)),
    ...(has === undefined ? [] : ["has?"]),
    ...(wants === undefined || wants.length === 0 ? [] : [`wants ${wants.map((id) => names.name(id)).join(" ")}`])
  ].join(" ")

// internal

const fly = <M, E>(world: World<M, E>, from: Member<M, E>, to: Member<M, E>, message: Message): void => {
  const { faults, random, turns } = world
  const slow = faults.has("delay") && random.network.chance(0.3)
  const millis = 1 + random.network.below(slow ? 4000 : 60)
  const arriving = faults.has("corruption") && random.network.chance(0.05) ? damaged(world, message) : message
  world.flying += 1
  turns.after(millis, () => {
    world.flying -= 1
    arrive(world, to.life, from, to, arriving)
  })
}

const arrive = <M, E>(
  world: World<M, E>,
  life: Life<M, E> | undefined,
  from: Member<M, E>,
  to: Member<M, E>,
  message: Message
): void => {
  if (life?.controller === undefined) {
    count(world, "not there")
    return
  }
  count(world, "delivered")
  say(world, `${to.name} gets from ${from.name} ${contents(world, message)}`)
  life.mail.unsafeOffer({ from: from.name, message })
}

const damaged = <M, E>(world: World<M, E>, message: Message): Message => {
  const which = world.random.network.below(message.operations.length)
  const bit = world.random.network.below(1 << 20)
  if (message.operations.length === 0) return message
  count(world, "corrupted")
  const operations = message.operations.map((one, nth): Sent => {
    if (nth !== which) return one
    const isBody = one.body !== undefined && one.body.length > 0 && bit % 2 === 0
    return isBody ? { ...one, body: flipped(one.body, bit >> 1) } : { ...one, header: flipped(one.header, bit >> 1) }
  })
  return { ...message, operations }
}
