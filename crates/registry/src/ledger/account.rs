//! Accounts and their roles.

use rusqlite::{Connection, OptionalExtension, params};

use super::now;

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User or robot name.
    pub name: String,
    /// `user` or `robot`.
    pub kind: String,
    /// bcrypt of the password.
    pub secret: String,
}

/// A role of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Whose.
    pub account: String,
    /// Repositories that it holds for.
    pub pattern: String,
    /// Words joined by commas.
    pub actions: String,
}

/// Adds an account; `false` when the name is taken.
///
/// # Errors
/// SQLite's.
pub fn add(connection: &Connection, account: &Account) -> rusqlite::Result<bool> {
    connection
        .execute(
            "INSERT INTO account(name, kind, secret, created) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            params![account.name, account.kind, account.secret, now()],
        )
        .map(|count| count > 0)
}

/// Removes an account with its roles; `false` when it is not there.
///
/// # Errors
/// SQLite's.
pub fn remove(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.execute("DELETE FROM role WHERE account = ?1", [name])?;
    connection.execute("DELETE FROM account WHERE name = ?1", [name]).map(|count| count > 0)
}

/// Sets an account's secret; `false` when it is not there.
///
/// # Errors
/// SQLite's.
pub fn set_secret(connection: &Connection, name: &str, secret: &str) -> rusqlite::Result<bool> {
    connection.execute("UPDATE account SET secret = ?2 WHERE name = ?1", [name, secret]).map(|count| count > 0)
}

/// An account by name.
///
/// # Errors
/// SQLite's.
pub fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<Account>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Account { name: row.get(0)?, kind: row.get(1)?, secret: row.get(2)? });
    connection
        .prepare_cached("SELECT name, kind, secret FROM account WHERE name = ?1")?
        .query_row([name], read)
        .optional()
}

/// All accounts.
///
/// # Errors
/// SQLite's.
pub fn all(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Account { name: row.get(0)?, kind: row.get(1)?, secret: row.get(2)? });
    connection.prepare_cached("SELECT name, kind, secret FROM account ORDER BY name")?.query_map([], read)?.collect()
}

/// Whether there is any account.
///
/// # Errors
/// SQLite's.
pub fn is_any(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM account LIMIT 1")?.exists([])
}

/// The roles of an account.
///
/// # Errors
/// SQLite's.
pub fn roles(connection: &Connection, account: &str) -> rusqlite::Result<Vec<Role>> {
    let read = |row: &rusqlite::Row<'_>| Ok(Role { account: row.get(0)?, pattern: row.get(1)?, actions: row.get(2)? });
    connection
        .prepare_cached("SELECT account, pattern, actions FROM role WHERE account = ?1 ORDER BY pattern")?
        .query_map([account], read)?
        .collect()
}

/// Sets a role, or removes it when `actions` is empty.
///
/// # Errors
/// SQLite's.
pub fn set_role(connection: &Connection, role: &Role) -> rusqlite::Result<()> {
    if role.actions.is_empty() {
        let sql = "DELETE FROM role WHERE account = ?1 AND pattern = ?2";
        return connection.execute(sql, [&role.account, &role.pattern]).map(drop);
    }
    connection
        .execute(
            "INSERT INTO role(account, pattern, actions) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET actions = excluded.actions",
            params![role.account, role.pattern, role.actions],
        )
        .map(drop)
}
