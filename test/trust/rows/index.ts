/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import { row as statements } from "./statements.ts"

export const rows: ReadonlyArray<Row> = [statements]
