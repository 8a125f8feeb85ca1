//! The key-value store of an app: SQLite in Spin's own schema, so that what is written here serves stock Spin too.
//!
//! The host hands it to components as `spin:key-value`; `skewless materialize` fills it in bulk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

/// The label of the store that a component gets when it names none.
pub const DEFAULT_LABEL: &str = "default";

/// How long a writer waits for another process before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// SQLite refused.
    #[error("key-value store `{}`: {source}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The folder of the database could not be made.
    #[error("key-value store `{}`: cannot create its folder: {source}", path.display())]
    Folder {
        /// The database file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A bulk replacement brought a key from outside its prefix.
    #[error("key `{key}` does not start with the prefix `{prefix}` that is being replaced")]
    OutsidePrefix {
        /// The key.
        key: String,
        /// The prefix.
        prefix: String,
    },
}

/// One labelled store of an app. Clones share the connection; every method may block on the disk.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
    label: String,
}

#[derive(Debug)]
struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl Database {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held leaves at most an open transaction, which SQLite rolls back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self) -> impl Fn(rusqlite::Error) -> Error + '_ {
        |source| Error::Sqlite { path: self.path.clone(), source }
    }
}

/// Where the key-value database of an app lies: `.spin/sqlite_key_value.db` beside its manifest, as Spin has it.
pub fn default_path(manifest: &Path) -> PathBuf {
    crate::state_dir(manifest).join("sqlite_key_value.db")
}

impl Store {
    /// Opens the store labelled `default`, creating file and table where they are missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|source| Error::Folder { path: path.clone(), source })?;
        }
        let open = || {
            let connection = Connection::open(&path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Readers are not stopped while `materialize` writes.
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.execute_batch(
                "CREATE TABLE IF NOT EXISTS spin_key_value (
                    store TEXT NOT NULL,
                    key   TEXT NOT NULL,
                    value BLOB NOT NULL,
                    PRIMARY KEY (store, key)
                )",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(|source| Error::Sqlite { path: path.clone(), source })?;
        let database = Arc::new(Database { path, connection: Mutex::new(connection) });
        Ok(Self { database, label: DEFAULT_LABEL.to_owned() })
    }

    /// Another store in the same database.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Self {
        Self { database: Arc::clone(&self.database), label: label.to_owned() }
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// The value of a key; `None` where there is none.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        get(&self.database.connection(), &self.label, key).map_err(self.database.error())
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        set(&self.database.connection(), &self.label, key, value).map_err(self.database.error())
    }

    /// Deletes a key; no error if there is none.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        delete(&self.database.connection(), &self.label, key).map_err(self.database.error())
    }

    /// Whether there is a value.
    pub fn exists(&self, key: &str) -> Result<bool, Error> {
        let connection = self.database.connection();
        let exists = || {
            let mut statement =
                connection.prepare_cached("SELECT 1 FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
            statement.exists(params![self.label, key])
        };
        exists().map_err(self.database.error())
    }

    /// All keys, in order.
    pub fn get_keys(&self) -> Result<Vec<String>, Error> {
        let connection = self.database.connection();
        let keys = || {
            let mut statement =
                connection.prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")?;
            statement.query_map([&self.label], |row| row.get(0))?.collect::<Result<_, _>>()
        };
        keys().map_err(self.database.error())
    }

    /// Runs `work` in one transaction: another process sees all of it or nothing. An error rolls back.
    pub fn transaction<T, E: From<Error>>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, E>) -> Result<T, E> {
        let mut connection = self.database.connection();
        let inner =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(self.database.error())?;
        let transaction = Transaction { inner, store: self };
        let result = work(&transaction)?;
        transaction.inner.commit().map_err(self.database.error())?;
        Ok(result)
    }

    /// Replaces everything under `prefix` by `entries` in one transaction; says how many were written.
    pub fn replace_prefix(
        &self,
        prefix: &str,
        entries: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<usize, Error> {
        self.transaction(|transaction| {
            transaction.delete_prefix(prefix)?;
            let mut written = 0;
            for (key, value) in entries {
                if !key.starts_with(prefix) {
                    return Err(Error::OutsidePrefix { key, prefix: prefix.to_owned() });
                }
                transaction.set(&key, &value)?;
                written += 1;
            }
            Ok(written)
        })
    }
}

/// An open transaction of [`Store::transaction`].
#[derive(Debug)]
pub struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
    store: &'a Store,
}

impl Transaction<'_> {
    /// The value of a key, writes of this transaction included.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        get(&self.inner, &self.store.label, key).map_err(self.store.database.error())
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        set(&self.inner, &self.store.label, key, value).map_err(self.store.database.error())
    }

    /// Deletes a key; no error if there is none.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        delete(&self.inner, &self.store.label, key).map_err(self.store.database.error())
    }

    /// Deletes every key that starts with `prefix`; says how many.
    pub fn delete_prefix(&self, prefix: &str) -> Result<usize, Error> {
        self.inner
            .execute(
                "DELETE FROM spin_key_value
                  WHERE store = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2",
                params![self.store.label, prefix],
            )
            .map_err(self.store.database.error())
    }
}

fn get(connection: &Connection, label: &str, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    statement.query_row(params![label, key], |row| row.get(0)).optional()
}

fn set(connection: &Connection, label: &str, key: &str, value: &[u8]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
         ON CONFLICT (store, key) DO UPDATE SET value = excluded.value",
    )?;
    statement.execute(params![label, key, value]).map(drop)
}

fn delete(connection: &Connection, label: &str, key: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    statement.execute(params![label, key]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("state/kv.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn keeps_bytes_by_label_and_key() {
        let (_folder, store) = store();
        store.set("a", b"1").unwrap();
        store.set("a", b"\0\xff").unwrap();
        store.labelled("other").set("a", b"2").unwrap();
        assert_eq!(store.get("a").unwrap().as_deref(), Some(&b"\0\xff"[..]));
        assert!(store.exists("a").unwrap());
        assert_eq!(store.get_keys().unwrap(), ["a"]);
        store.delete("a").unwrap();
        store.delete("a").unwrap();
        assert_eq!(store.get("a").unwrap(), None);
        assert_eq!(store.labelled("other").get("a").unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn replacing_a_prefix_leaves_neighbours_alone() {
        let (_folder, store) = store();
        for key in ["rows/a", "rows/v/1", "rows/v/2", "rows/v%", "rows/w"] {
            store.set(key, b"old").unwrap();
        }
        store.labelled("other").set("rows/v/1", b"old").unwrap();
        let written = store.replace_prefix("rows/v/", [("rows/v/3".to_owned(), b"new".to_vec())]).unwrap();
        assert_eq!(written, 1);
        assert_eq!(store.get_keys().unwrap(), ["rows/a", "rows/v%", "rows/v/3", "rows/w"]);
        assert!(store.labelled("other").exists("rows/v/1").unwrap());
    }

    #[test]
    fn a_replacement_that_fails_changes_nothing() {
        let (_folder, store) = store();
        store.set("v/1", b"old").unwrap();
        let entries = [("v/2".to_owned(), vec![]), ("elsewhere".to_owned(), vec![])];
        let error = store.replace_prefix("v/", entries).unwrap_err();
        assert!(error.to_string().contains("`elsewhere`"), "{error}");
        assert_eq!(store.get_keys().unwrap(), ["v/1"]);
    }

    #[test]
    fn a_reader_in_another_connection_sees_whole_transactions_only() {
        let (_folder, store) = store();
        let reader = Store::open(store.path()).unwrap();
        store
            .transaction(|transaction| {
                transaction.set("a", b"1")?;
                assert_eq!(reader.get("a")?, None);
                assert!(transaction.get("a")?.is_some());
                Ok::<_, Error>(())
            })
            .unwrap();
        assert!(reader.exists("a").unwrap());
    }
}
