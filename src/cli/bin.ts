#!/usr/bin/env node
/** The program `applecart` on Node. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeTerminal from "@effect/platform-node/NodeTerminal"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { Io } from "./Io.ts"
import * as Main from "./main.ts"
import * as NodeIo from "./NodeIo.ts"

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"))

Main.run(process.argv.slice(2), String(version)).pipe(
  Effect.provideService(Io, NodeIo.make()),
  Effect.provide(Layer.mergeAll(NodeFileSystem.layer, NodePath.layer, NodeTerminal.layer)),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    disablePrettyLogger: true,
    teardown: (exit, done) => done(Exit.isSuccess(exit) ? Number(exit.value) : 130)
  })
)
