/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import { row as disk } from "./disk.ts"
import { row as file } from "./file.ts"
import { row as fuzz } from "./fuzz.ts"
import { row as handlers } from "./handlers.ts"
import { row as interrupts } from "./interrupts.ts"
import { kills } from "./kills.ts"
import { own } from "./own.ts"
import { processes } from "./processes.ts"
import { row as simulation } from "./simulation.ts"
import { row as statements } from "./statements.ts"
import { row as wal } from "./wal.ts"

export const rows: ReadonlyArray<Row> = [
  statements,
  interrupts,
  handlers,
  simulation,
  kills,
  processes,
  wal,
  file,
  disk,
  own,
  fuzz
]
