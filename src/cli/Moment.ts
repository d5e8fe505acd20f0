/** Moments as people type them: a date or ISO 8601, in UTC unless it says otherwise. */
import * as Option from "effect/Option"

const form = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:?\d\d)?)?$/i

/** What to write, for errors and help. */
export const example = "2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00+01:00"

/** Milliseconds since the epoch. A date alone is its first moment. */
export const parse = (text: string): Option.Option<number> => {
  const [, date, time = "00:00", zone = "Z"] = form.exec(text.trim()) ?? []
  // 30 February would quietly become a day in March.
  if (date === undefined || !isDate(date)) return Option.none()
  const offset = zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, "$1:$2")
  const millis = Date.parse(`${date}T${time}${offset}`)
  return Number.isNaN(millis) ? Option.none() : Option.some(millis)
}

// internal

const isDate = (date: string): boolean => {
  const millis = Date.parse(`${date}T00:00Z`)
  return !Number.isNaN(millis) && new Date(millis).toISOString().startsWith(date)
}
