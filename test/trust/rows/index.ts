/** All rows, in the order in which the table has them. */
import type { Row } from "../Row.ts"
import { fuzz } from "./fuzz.ts"
import { own } from "./own.ts"

export const rows: ReadonlyArray<Row> = [own, fuzz]
