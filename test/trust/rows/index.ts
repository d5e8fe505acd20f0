/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import { row as handlers } from "./handlers.ts"
import { row as interrupts } from "./interrupts.ts"
import { row as statements } from "./statements.ts"

export const rows: ReadonlyArray<Row> = [statements, interrupts, handlers]
