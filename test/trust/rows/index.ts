/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import { kills } from "./kills.ts"
import { processes } from "./processes.ts"

export const rows: ReadonlyArray<Row> = [kills, processes]
