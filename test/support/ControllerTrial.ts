/** Commands, carried out by the model and by controllers on a database file, and compared after each. */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { plan, type Command } from "./ControllerCommands.ts"
import * as Model from "./ControllerModel.ts"
import * as Calls from "./ControllerModelCalls.ts"
import { drain, holding, pull, take, type Planned } from "./ControllerPlans.ts"
import { epoch, type Op } from "./ControllerPool.ts"
import * as Tables from "./ControllerTables.ts"
import * as World from "./ControllerWorld.ts"

/** A model and a database that go through the same, call by call. */
export class Trial {
  /** What was done, for people. */
  readonly done: Array<string> = []
  private readonly database: World.Database
  private readonly batchSize: number
  private readonly clock = new World.StillClock(epoch)
  private readonly switches = { luck: false }
  private readonly names: Map<string, string>
  private readonly pool: Array<Op>
  private readonly running: Array<World.Running | undefined> = [undefined, undefined]
  private model: Model.Model

  constructor(database: World.Database, pool: ReadonlyArray<Op>, batchSize: number, model = Model.make(epoch)) {
    this.database = database
    this.batchSize = batchSize
    this.pool = [...pool]
    this.names = new Map(pool.map(({ id, name }) => [id, name]))
    this.model = model
  }

  async close() {
    for (const one of this.running) await one?.close()
  }

  /** Opens a program, and hands the first so many operations of the pool to everybody; gives what there is then. */
  async begin(program: Model.Program, count: number): Promise<Model.Model> {
    await this.open(0, program, undefined)
    const [running] = this.running
    const first = count === 0 ? [] : [take("process", this.pool.slice(0, count)), drain]
    if (running === undefined) return this.model
    for (const planned of first) await this.call(0, running, planned, undefined)
    // Somebody who pulls has all of it, too, and is told of what goes later.
    for (let at = 0; at <= count; at += program.batchSize) {
      await this.call(0, running, pull({ a: 1, b: 1, c: 8 }, this.choice(running)), undefined)
      for (const hand of running.hands.splice(0)) {
        await this.call(0, running, holding({ a: 0, b: 1, c: 0 }, true, hand), undefined)
      }
    }
    return this.model
  }

  async carryOut(command: Command): Promise<void> {
    const { a, kind } = command
    if (kind === "luck") {
      this.switches.luck = this.model.luck = !this.model.luck
      this.done.push(`luck: ${this.model.luck}`)
      return
    }
    if (kind === "wait") {
      this.clock.now = this.model.now += [100, 1000, 5000, 31_000][a % 4] ?? 0
      this.done.push(`wait until ${this.clock.now - epoch} ms`)
      return
    }
    if (kind === "together") return this.together(command)
    if (kind === "open") return this.open(command.who, this.program(command), command.fault)
    const { who } = command
    if (this.running[who] === undefined) await this.open(who, this.program({ ...command, a: 0 }), undefined)
    const running = this.running[who]
    if (running === undefined) return
    const planned = plan(command, this.choice(running))
    if (planned !== undefined) await this.call(who, running, planned, command.fault)
  }

  private choice(running: World.Running) {
    const published = (op: Op) => {
      if (!this.names.has(op.id)) this.pool.push(op)
      this.names.set(op.id, op.name)
      return op
    }
    return { model: this.model, pool: this.pool, running, clock: this.clock, published }
  }

  /**
   * A call of one program while the other one drains, and then both drain. Only where it makes no difference who is quicker:
   * where nothing is removed, and only one of them brings something new.
   */
  private async together(command: Command): Promise<void> {
    for (const who of [0, 1]) {
      const running = this.running[who]
      const current = running !== undefined && this.isCurrent(running)
      if (!current) await this.open(who, this.program({ ...nothing, c: command.b, who }), undefined)
    }
    const [one, other] = this.running
    if (one === undefined || other === undefined) return
    const kind = (["drain", "process", "publish", "receive", "again", "drain"] as const)[command.c % 6] ?? "drain"
    const planned = plan({ ...command, kind }, this.choice(one))
    const removes = ({ deletes, prune }: Op) => prune || deletes.length > 0
    if (planned === undefined || [...this.model.inbox.map(({ op }) => op), ...(planned.brings ?? [])].some(removes))
      return
    const queued = this.model.wakes.length > 0 || this.model.inbox.some(({ status }) => status === "queued")
    if (planned.brings !== undefined && queued) return
    // What is parked may be asked for again by a replay and because it is due: the later one finds it parked once more.
    const replays = kind === "again" || this.model.replays.some(({ state }) => state === "running")
    const isDue = ({ deliveries }: Model.Consumer) =>
      Array.from(deliveries.values()).some(({ due }) => due !== undefined && due <= this.model.now)
    if (replays && Array.from(this.model.consumers.values()).some(isDue)) return
    this.done.push(`0: ${planned.text}, while 1: drain; then both drain`)
    const [{ program }, { program: second }] = [one, other]
    const { states } = this.predict(function* (model) {
      try {
        yield* planned.model(model, program)
      } catch (error) {
        if (!(error instanceof Model.Refusal)) throw error
      }
      yield* Calls.drain(model, program)
      return yield* Calls.drain(model, second)
    })
    await Promise.all([World.run(planned.real(one), this.clock), World.run(other.controller.drain, this.clock)])
    for (const running of [one, other]) {
      const ended = await World.run(running.controller.drain, this.clock)
      assert.strictEqual(ended._tag, "Answered", JSON.stringify(ended))
    }
    const model = states.at(-1) ?? this.model
    const expected = Tables.expected(model, this.names)
    const found = this.database.read(this.names)
    // Whether something new or something from before came first is a matter of who was quicker.
    const effects = [...found.effects].sort()
    if (!isEqual({ ...expected, effects: [...expected.effects].sort() }, { ...found, effects })) differ(expected, found)
    for (const it of [...model.consumers.values(), ...model.removed.values()]) {
      const left = [...it.effects]
      it.effects = found.effects.flatMap((line) => {
        const index = left.findIndex((effect) => Tables.effect(it, effect) === line)
        return index < 0 ? [] : left.splice(index, 1)
      })
    }
    this.model = model
  }

  /** Whether nobody has opened the database with something newer. */
  private isCurrent({ program }: World.Running): boolean {
    const versions = [["app", program.application] as const, ...program.readers]
    return versions.every(([name, version]) => (this.model.consumers.get(name)?.version ?? version) === version)
  }

  /** Opens a program, or opens it once more as another one. */
  async open(who: number, program: Model.Program, fault: Command["fault"]): Promise<void> {
    await this.running[who]?.close()
    this.running[who] = undefined
    const versions = [["app", program.application], ...program.readers].map(([name, version]) => `${name}@${version}`)
    this.done.push(`${who}: open ${versions.join(" ")} by ${program.batchSize}${saidOf(fault)}`)
    const points = this.predict((model) => Calls.open(model, program))
    const plan = fault === undefined ? undefined : World.arm(fault.at, fault.what)
    const ended = await World.open(this.database.filename, program, this.switches, this.clock, plan)
    const hit = this.compare(points, ended._tag === "Answered" ? { ...ended, answer: "opened" } : ended, fault)
    if (ended._tag === "Answered") {
      await Effect.runPromise(ended.answer.faults.disarm)
      this.running[who] = ended.answer
    } else if (hit) await this.open(who, this.program({ ...nothing, who }), undefined)
  }

  private async call(who: number, running: World.Running, planned: Planned, fault: Command["fault"]): Promise<void> {
    this.done.push(`${who}: ${planned.text}${saidOf(fault)}`)
    const points = this.predict((model) => planned.model(model, running.program))
    await Effect.runPromise(running.faults.reset)
    if (fault !== undefined) await Effect.runPromise(running.faults.arm(World.arm(fault.at, fault.what)))
    const ended = await World.run(planned.real(running), this.clock)
    await Effect.runPromise(running.faults.disarm)
    if (ended._tag === "Stopped") {
      await running.close()
      this.running[who] = undefined
    }
    this.compare(points, ended, fault)
    if (ended._tag === "Stopped") await this.open(who, this.program({ ...nothing, who }), undefined)
  }

  /** What the call leaves after each of its transactions, and its answer. */
  private predict(call: (model: Model.Model) => Model.Call) {
    const states = [this.model]
    const model = Model.copy(this.model)
    const steps = call(model)
    try {
      for (;;) {
        const step = steps.next()
        states.push(Model.copy(model))
        if (step.done === true) return { states, answer: step.value }
      }
    } catch (error) {
      if (error instanceof Model.Refusal) return { states, answer: error.tag }
      throw error
    }
  }

  /** Takes on the state that the database is in, which has to be one of the model's. Gives whether a fault was to blame. */
  private compare(
    { answer, states }: ReturnType<Trial["predict"]>,
    ended: World.Ended<string>,
    fault: Command["fault"]
  ): boolean {
    const isFault =
      fault !== undefined && (ended._tag === "Stopped" || (ended._tag === "Failed" && ended.tag === "SqlError"))
    const found = this.database.read(this.names)
    if (isFault) {
      const same = states.findLast((state) => isEqual(Tables.expected(state, this.names), found))
      this.done.push(
        `   ${ended._tag === "Stopped" ? "stopped" : "failed"} after ${same === undefined ? "?" : states.indexOf(same)} of ${states.length - 1} transactions`
      )
      if (same === undefined) {
        const all = states.map(
          (state, index) => `after ${index}: ${JSON.stringify(Tables.expected(state, this.names), null, 1)}`
        )
        assert.fail(`no transaction leaves ${JSON.stringify(found, null, 1)}\n${all.join("\n")}`)
      }
      this.model = same
      return true
    }
    const last = states.at(-1) ?? this.model
    const said = ended._tag === "Answered" ? ended.answer : ended._tag === "Failed" ? ended.tag : "stopped"
    this.done.push(`   ${said}`)
    const detail = ended._tag === "Failed" ? ` (${ended.detail})` : ""
    const expected = Tables.expected(last, this.names)
    if (!isEqual(expected, found)) differ(expected, found)
    assert.strictEqual(said, answer, `the answer${detail}`)
    this.model = last
    return false
  }

  /** What is opened next: what the database knows, and something newer or less. */
  private program({ a, b, c, who }: Pick<Command, "a" | "b" | "c" | "who">): Model.Program {
    const readers = new Map(
      Array.from(this.model.consumers.values()).flatMap((it) => (it.role === "reader" ? [[it.name, it.version]] : []))
    )
    const application = Model.app(this.model).version
    const names = Array.from(readers.keys())
    const name = names[b % Math.max(1, names.length)] ?? "one"
    const batchSize = who === 0 ? this.batchSize : ([1, 2, 7][c % 3] ?? 1)
    switch (a % 7) {
      case 1:
      case 2:
        return { batchSize, application, readers: readers.set(name, Math.min(4, (readers.get(name) ?? 0) + 1)) }
      case 3:
        return { batchSize, application: Math.min(4, application + 1), readers }
      case 4:
        return { batchSize, application, readers: readers.set("three", readers.get("three") ?? 1) }
      case 5:
        readers.delete(name)
        return { batchSize, application, readers }
      case 6:
        return c % 3 === 0
          ? { batchSize, application: Math.max(1, application - 1), readers }
          : { batchSize, application, readers }
      default:
        return { batchSize, application, readers }
    }
  }
}

// internal

const nothing = { a: 0, b: 0, c: 0 }

const saidOf = (fault: Command["fault"]) => (fault === undefined ? "" : `  [${fault.what} at statement ${fault.at}]`)

const isEqual = (one: Tables.Tables, other: Tables.Tables) => JSON.stringify(one) === JSON.stringify(other)

const differ = (expected: Tables.Tables, found: Tables.Tables): never => {
  const tables = Object.entries(expected).flatMap(([table, lines]) => {
    const there = Object.entries(found).find(([name]) => name === table)?.[1] ?? []
    return JSON.stringify(lines) === JSON.stringify(there)
      ? []
      : [`${table} should be\n    ${lines.join("\n    ")}\n  and is\n    ${there.join("\n    ")}`]
  })
  assert.fail(tables.join("\n"))
}
