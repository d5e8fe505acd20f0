/**
 * The tables of the store. They stand in the application's own database, beside its tables: that is what makes one
 * transaction possible.
 *
 * Rows have integer keys; hashes and keys are BLOBs under a UNIQUE index. An operation's position is never given twice,
 * not even after the newest operation is gone (AUTOINCREMENT). A table of the application may refer to an operation by
 * `position` or `id`; since the operation's own row is written after the handler ran, such a foreign key is DEFERRABLE
 * INITIALLY DEFERRED.
 *
 * A migration is never edited after a release: its checksum is compared when a database is opened.
 */
import type { Migration } from "./Migrations.ts"

/** The owner under which the store's migrations are recorded. */
export const owner = "applecart"

/** The migrations of the store, oldest first. */
export const migrations: ReadonlyArray<Migration> = [
  {
    name: "spine",
    up: [
      `CREATE TABLE applecart_topics (
        topic INTEGER PRIMARY KEY,
        log_id BLOB NOT NULL UNIQUE,
        hash BLOB NOT NULL
      )`,
      `CREATE INDEX applecart_topics_hash ON applecart_topics (hash)`,
      `CREATE TABLE applecart_logs (
        log INTEGER PRIMARY KEY,
        author BLOB NOT NULL,
        log_id BLOB NOT NULL,
        topic INTEGER REFERENCES applecart_topics,
        head_seq_num INTEGER NOT NULL,
        head_id BLOB NOT NULL,
        pruned_below INTEGER NOT NULL DEFAULT 0,
        UNIQUE (author, log_id)
      )`,
      `CREATE INDEX applecart_logs_log_id ON applecart_logs (log_id)`,
      `CREATE TABLE applecart_operations (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        log INTEGER NOT NULL REFERENCES applecart_logs,
        seq_num INTEGER NOT NULL,
        header BLOB NOT NULL,
        body BLOB,
        accepted_at INTEGER NOT NULL,
        UNIQUE (log, seq_num)
      )`,
      `CREATE TABLE applecart_inbox (
        entry INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        author BLOB NOT NULL,
        log_id BLOB NOT NULL,
        seq_num INTEGER NOT NULL,
        header BLOB NOT NULL,
        body BLOB,
        topic BLOB,
        source TEXT,
        received_at INTEGER NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('queued', 'waiting', 'rejected')),
        processor TEXT,
        reason TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before INTEGER
      )`,
      `CREATE INDEX applecart_inbox_status ON applecart_inbox (status, entry)`,
      `CREATE INDEX applecart_inbox_topicless ON applecart_inbox (log_id) WHERE topic IS NULL`,
      `CREATE INDEX applecart_inbox_retry ON applecart_inbox (not_before) WHERE not_before IS NOT NULL`,
      `CREATE INDEX applecart_inbox_log ON applecart_inbox (author, log_id, seq_num)`,
      // Apart, since wake-ups ask it all the time, and whoever has thousands of rejected ones in a log shall not slow them down.
      `CREATE INDEX applecart_inbox_place ON applecart_inbox (author, log_id, seq_num) WHERE status = 'waiting'`,
      `CREATE TABLE applecart_waiting (
        until BLOB NOT NULL,
        entry INTEGER NOT NULL REFERENCES applecart_inbox ON DELETE CASCADE,
        PRIMARY KEY (until, entry)
      ) WITHOUT ROWID`,
      `CREATE INDEX applecart_waiting_entry ON applecart_waiting (entry)`,
      `CREATE TABLE applecart_wakes (
        wake INTEGER PRIMARY KEY AUTOINCREMENT,
        root INTEGER,
        id BLOB NOT NULL,
        author BLOB,
        log_id BLOB,
        seq_num INTEGER,
        after_seq_num INTEGER,
        after_entry INTEGER NOT NULL
      )`,
      `CREATE INDEX applecart_wakes_root ON applecart_wakes (root, wake)`,
      `CREATE TABLE applecart_consumers (
        name TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        role TEXT NOT NULL CHECK (role IN ('application', 'reader')),
        position INTEGER NOT NULL
      )`,
      `CREATE UNIQUE INDEX applecart_consumers_application ON applecart_consumers (role) WHERE role = 'application'`,
      // The author x'' stands for all of them together.
      `CREATE TABLE applecart_inbox_shares (
        author BLOB PRIMARY KEY,
        operations INTEGER NOT NULL,
        bytes INTEGER NOT NULL
      ) WITHOUT ROWID`,
      `CREATE TRIGGER applecart_inbox_shares_insert AFTER INSERT ON applecart_inbox BEGIN
        INSERT INTO applecart_inbox_shares (author, operations, bytes) VALUES
          (NEW.author, 1, length(NEW.header) + coalesce(length(NEW.body), 0)),
          (x'', 1, length(NEW.header) + coalesce(length(NEW.body), 0))
        ON CONFLICT (author) DO UPDATE SET operations = operations + 1, bytes = bytes + excluded.bytes;
      END`,
      `CREATE TRIGGER applecart_inbox_shares_delete AFTER DELETE ON applecart_inbox BEGIN
        UPDATE applecart_inbox_shares
          SET operations = operations - 1, bytes = bytes - length(OLD.header) - coalesce(length(OLD.body), 0)
          WHERE author IN (OLD.author, x'');
        DELETE FROM applecart_inbox_shares WHERE author IN (OLD.author, x'') AND operations = 0;
      END`,
      `CREATE TRIGGER applecart_inbox_shares_body AFTER UPDATE OF body ON applecart_inbox BEGIN
        UPDATE applecart_inbox_shares
          SET bytes = bytes + coalesce(length(NEW.body), 0) - coalesce(length(OLD.body), 0)
          WHERE author IN (NEW.author, x'');
      END`,
      `CREATE TABLE applecart_decisions (
        decision INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL UNIQUE,
        what TEXT NOT NULL CHECK (what IN ('skipped', 'deleted', 'discarded', 'pruned')),
        why TEXT,
        decided_at INTEGER NOT NULL
      )`,
      `CREATE TABLE applecart_forks (
        fork INTEGER PRIMARY KEY AUTOINCREMENT,
        author BLOB NOT NULL,
        log_id BLOB NOT NULL,
        seq_num INTEGER NOT NULL,
        accepted_header BLOB NOT NULL,
        other_id BLOB NOT NULL UNIQUE,
        other_header BLOB NOT NULL
      )`,
      `CREATE INDEX applecart_forks_place ON applecart_forks (author, log_id, seq_num)`
    ]
  },
  {
    name: "consumers",
    up: [
      `ALTER TABLE applecart_consumers RENAME TO applecart_consumers_1`,
      `DROP INDEX applecart_consumers_application`,
      // Everything up to `position` was handed over; everything up to `seen` was so once, to this version or an earlier one.
      `CREATE TABLE applecart_consumers (
        consumer INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL CHECK (role IN ('application', 'processor', 'reader', 'puller')),
        version INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('reset', 'building', 'live')),
        position INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        paused INTEGER NOT NULL DEFAULT 0
      )`,
      `CREATE UNIQUE INDEX applecart_consumers_application ON applecart_consumers (role) WHERE role = 'application'`,
      `INSERT INTO applecart_consumers (name, role, version, state, position, seen)
        SELECT name, role, version, 'live', position, position FROM applecart_consumers_1`,
      `DROP TABLE applecart_consumers_1`,
      // Handed over and not acknowledged: in somebody's hands until `not_before` (no reason), or parked.
      `CREATE TABLE applecart_deliveries (
        consumer INTEGER NOT NULL REFERENCES applecart_consumers ON DELETE CASCADE,
        position INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        reason TEXT,
        not_before INTEGER,
        since INTEGER NOT NULL,
        replay INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (consumer, position)
      ) WITHOUT ROWID`,
      `CREATE INDEX applecart_deliveries_due ON applecart_deliveries (consumer, not_before) WHERE not_before IS NOT NULL`,
      // What a consumer is to be told at `at`: that an operation is gone which it has handled, or which it will not see.
      `CREATE TABLE applecart_notices (
        consumer INTEGER NOT NULL REFERENCES applecart_consumers ON DELETE CASCADE,
        at INTEGER NOT NULL,
        position INTEGER NOT NULL,
        id BLOB NOT NULL,
        author BLOB NOT NULL,
        seq_num INTEGER NOT NULL,
        how TEXT NOT NULL CHECK (how IN ('pruned', 'deleted')),
        missed INTEGER NOT NULL,
        PRIMARY KEY (consumer, at, position)
      ) WITHOUT ROWID`,
      `CREATE TABLE applecart_replays (
        replay INTEGER PRIMARY KEY AUTOINCREMENT,
        consumer INTEGER NOT NULL REFERENCES applecart_consumers ON DELETE CASCADE,
        which TEXT NOT NULL,
        position INTEGER NOT NULL,
        until INTEGER NOT NULL,
        handled INTEGER NOT NULL DEFAULT 0,
        parked INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL CHECK (state IN ('running', 'done', 'cancelled')),
        begun_at INTEGER NOT NULL
      )`
    ]
  },
  {
    name: "own",
    up: [
      // The logs that were published on here. `witnessed`: whether a witness was told; `heard_seq_num`: the newest place that came
      // from outside and was not kept; evidence and entries of the inbox up to `seen_fork` and `seen_entry` were acknowledged,
      // evidence up to `told_fork` was told of.
      `CREATE TABLE applecart_own (
        author BLOB NOT NULL,
        log_id BLOB NOT NULL,
        witnessed INTEGER NOT NULL,
        heard_seq_num INTEGER,
        seen_entry INTEGER NOT NULL DEFAULT 0,
        seen_fork INTEGER NOT NULL DEFAULT 0,
        told_fork INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (author, log_id)
      ) WITHOUT ROWID`,
      // The logs up to this one are older than the witness: that it never heard of them means nothing.
      `CREATE TABLE applecart_own_from (log INTEGER NOT NULL)`,
      `INSERT INTO applecart_own_from SELECT coalesce(max(log), 0) FROM applecart_logs`
    ]
  }
]
