/**
 * Which operations are meant: by topic, by author, by log, or any mix. One form for everything that lists, replays and exports.
 *
 * A topic means the logs that are known to belong to it, and the log id that is derived from it, unless that is known to belong
 * to another one. So it also finds logs whose topic nobody has told.
 *
 * @example
 * const apples = Filter.make(yield* Crypto.Crypto, { topic })
 * const newest = yield* Inspect.log({ ...apples, limit: 5 })
 */
import type * as Crypto from "../core/Crypto.ts"
import * as LogId from "../core/LogId.ts"
import * as Topic from "../core/Topic.ts"
import * as VerifyingKey from "../core/VerifyingKey.ts"

/** What is asked for. Everything that is said must hold; nothing said means all. */
export interface Options {
  readonly topic?: Topic.Topic | undefined
  readonly author?: VerifyingKey.VerifyingKey | undefined
  readonly logId?: LogId.LogId | undefined
}

/** Which accepted operations are meant. Times in milliseconds since the epoch; `until` is not meant itself. */
export interface Range {
  /** From this position on, itself included. */
  readonly from?: number | undefined
  /** Up to this position, itself included. */
  readonly to?: number | undefined
  readonly acceptedFrom?: number | undefined
  readonly acceptedUntil?: number | undefined
  /** By the author's own timestamp; one that has none is not meant then. */
  readonly writtenFrom?: number | undefined
  readonly writtenUntil?: number | undefined
}

/** A mix of both, as the store takes it. */
export interface Accepted extends Filter, Range {}

/** As the store takes it. */
export interface Filter {
  readonly topic?: { readonly topic: Topic.Topic; readonly logId: LogId.LogId } | undefined
  readonly author?: VerifyingKey.VerifyingKey | undefined
  readonly logId?: LogId.LogId | undefined
}

/** Derives the topic's log id. */
export const make = (crypto: Crypto.Service, { author, logId, topic }: Options): Filter => ({
  author,
  logId,
  topic: topic === undefined ? undefined : { topic, logId: Topic.logId(crypto, topic) }
})

const ofTopic = (table: string) =>
  `${table}.log_id IN (
     SELECT t.log_id FROM applecart_topics AS t WHERE t.hash = ?
     UNION ALL SELECT d.log_id FROM (SELECT ? AS log_id) AS d
     WHERE NOT EXISTS (SELECT 1 FROM applecart_topics AS t WHERE t.log_id = d.log_id AND t.hash <> ?))`

const condition = (table: string, topic: string) =>
  `(? IS NULL OR ${table}.author = ?) AND (? IS NULL OR ${table}.log_id = ?) AND (? IS NULL OR ${topic})`

/** The condition on a row of `applecart_logs`; its parameters are {@link logParams}. */
export const inLogs = (table: string): string => condition(table, ofTopic(table))

export const logParams = ({ author, logId, topic }: Filter): ReadonlyArray<unknown> => {
  const authorBytes = author === undefined ? null : VerifyingKey.toBytes(author)
  const logIdBytes = logId === undefined ? null : LogId.toBytes(logId)
  const topicBytes = topic === undefined ? null : Topic.toBytes(topic.topic)
  const derived = topic === undefined ? null : LogId.toBytes(topic.logId)
  return [authorBytes, authorBytes, logIdBytes, logIdBytes, topicBytes, topicBytes, derived, topicBytes]
}

/** The condition on a row of `applecart_inbox`, where what came under the topic counts too; its parameters are {@link inboxParams}. */
export const inInbox = (table: string): string => condition(table, `(${ofTopic(table)} OR ${table}.topic = ?)`)

export const inboxParams = (filter: Filter): ReadonlyArray<unknown> => [
  ...logParams(filter),
  filter.topic === undefined ? null : Topic.toBytes(filter.topic.topic)
]
