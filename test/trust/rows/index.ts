/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import * as simulation from "./simulation.ts"

export const rows: ReadonlyArray<Row> = [simulation.row]
