//! Passwords: bcrypt, in the registry's own accounts and in Apache's htpasswd format.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use ring::{digest, rand::SecureRandom};

use crate::{Error, Result};

/// Work factor of new hashes.
const COST: u32 = 10;
/// How long a verified password is believed without computing again.
const BELIEVED: Duration = Duration::from_secs(60);
/// How many are believed at once.
const BELIEVED_MAX: usize = 4096;
/// Highest work factor that is computed: an htpasswd file must not stop the registry.
const COST_MAX: u32 = 16;
/// Largest htpasswd file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// bcrypt's own limit; longer passwords would be cut silently.
pub const PASSWORD_BYTES_MAX: usize = 72;

/// Hashes a password.
///
/// # Errors
/// [`Error::Setting`] when it is empty or longer than bcrypt can tell apart.
pub fn hash(password: &str) -> Result<String> {
    let refused = |reason: &str| Error::Setting { name: "password".to_owned(), reason: reason.to_owned() };
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(refused("it must have 1 to 72 bytes"));
    }
    bcrypt::hash(password, COST).map_err(|error| refused(&error.to_string()))
}

/// A random password of 160 bits.
///
/// # Errors
/// [`Error::Setting`] when the kernel gives no random bytes.
pub fn generate() -> Result<String> {
    let mut bytes = [0; 20];
    let random = ring::rand::SystemRandom::new();
    random.fill(&mut bytes).map_err(|_| Error::Setting {
        name: "password".to_owned(),
        reason: "the kernel gives no random bytes".to_owned(),
    })?;
    Ok(berth_kit::id::hex(&bytes))
}

/// Verifies, and remembers for a minute what it verified.
#[derive(Debug)]
pub struct Verifier {
    salt: [u8; 32],
    believed: Mutex<HashMap<[u8; 32], Instant>>,
    nobody: String,
}

impl Verifier {
    /// A verifier that believes nothing yet.
    ///
    /// # Errors
    /// [`Error::Setting`] when the kernel gives no random bytes.
    pub fn new() -> Result<Self> {
        let salt = generate()?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, salt.as_bytes()).as_ref());
        Ok(Self { salt: bytes, believed: Mutex::default(), nobody: hash(&salt)? })
    }

    /// Whether `password` is the one that `hash` was made of; takes as long when there is no such account.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> bool {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&self.salt);
        context.update(hash.unwrap_or_default().as_bytes());
        context.update(&[0]);
        context.update(password.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        {
            let believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
            if hash.is_some() && believed.get(&key).is_some_and(|time| time.elapsed() < BELIEVED) {
                return true;
            }
        }
        let (password, known) = (password.to_owned(), hash.is_some());
        let hash = hash.unwrap_or(&self.nobody).to_owned();
        let is_right = tokio::task::spawn_blocking(move || check(&password, &hash)).await.unwrap_or(false) && known;
        if is_right {
            let mut believed = self.believed.lock().unwrap_or_else(PoisonError::into_inner);
            if believed.len() >= BELIEVED_MAX {
                believed.clear();
            }
            believed.insert(key, Instant::now());
        }
        is_right
    }
}

fn check(password: &str, hash: &str) -> bool {
    // $2y$10$…
    let cost = hash.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
    let is_payable = cost.is_some_and(|cost| cost <= COST_MAX);
    is_payable && password.len() <= PASSWORD_BYTES_MAX && bcrypt::verify(password, hash).unwrap_or(false)
}

/// A file of Apache's htpasswd, read again when it changes.
#[derive(Debug)]
pub struct Htpasswd {
    path: PathBuf,
    read: Mutex<(Option<SystemTime>, HashMap<String, String>)>,
}

impl Htpasswd {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Setting`] when a line's hash is not bcrypt.
    pub fn open(path: &Path) -> Result<Self> {
        let htpasswd = Self { path: path.to_owned(), read: Mutex::default() };
        let users = htpasswd.load()?;
        *htpasswd.read.lock().unwrap_or_else(PoisonError::into_inner) = (htpasswd.changed(), users);
        Ok(htpasswd)
    }

    fn changed(&self) -> Option<SystemTime> {
        fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok()
    }

    fn load(&self) -> Result<HashMap<String, String>> {
        let failed = || Error::file("read", &self.path);
        let size = fs::metadata(&self.path).map_err(failed())?.len();
        if size > FILE_BYTES_MAX {
            return Err(self.wrong("it is too large".to_owned()));
        }
        let text = fs::read_to_string(&self.path).map_err(failed())?;
        parse(&text).map_err(|reason| self.wrong(reason))
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Setting { name: self.path.display().to_string(), reason }
    }

    /// The hash of a user's password.
    #[must_use]
    pub fn hash(&self, user: &str) -> Option<String> {
        let changed = self.changed();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.0 != changed {
            match self.load() {
                Ok(users) => *read = (changed, users),
                // What was read before holds while the file is being replaced.
                Err(error) => tracing::warn!(%error, "the htpasswd file is not read"),
            }
        }
        read.1.get(user).cloned()
    }
}

/// Reads `user:hash` lines.
fn parse(text: &str) -> std::result::Result<HashMap<String, String>, String> {
    let mut users = HashMap::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or_else(|| format!("line {} has no colon", index + 1))?;
        if !["$2y$", "$2a$", "$2b$"].iter().any(|kind| hash.starts_with(kind)) {
            return Err(format!("line {}: only bcrypt is taken (htpasswd -B)", index + 1));
        }
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn passwords_are_verified_and_believed_for_their_hash_only() {
        let verifier = Verifier::new().unwrap();
        let (one, two) = (hash("secret").unwrap(), hash("other").unwrap());
        assert!(verifier.verify("secret", Some(&one)).await);
        assert!(verifier.verify("secret", Some(&one)).await, "believed");
        assert!(!verifier.verify("secret", Some(&two)).await);
        assert!(!verifier.verify("Secret", Some(&one)).await);
        assert!(!verifier.verify("secret", None).await);
        assert!(!verifier.verify("x", Some("$2y$31$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")).await);
    }

    #[test]
    fn hostile_files_and_passwords_are_refused() {
        assert!(parse("a:$2y$05$x\n# comment\n\nb:$2b$05$y\n").unwrap().len() == 2);
        for text in ["a", "a:plain", "a:{SHA}xx", "a:$apr1$x$y"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(hash("").is_err() && hash(&"x".repeat(73)).is_err());
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, "a:$2y$05$x\n").unwrap();
        let htpasswd = Htpasswd::open(&path).unwrap();
        assert!(htpasswd.hash("a").is_some() && htpasswd.hash("b").is_none());
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&path, "b:$2y$05$x\n").unwrap();
        assert!(htpasswd.hash("a").is_none() && htpasswd.hash("b").is_some());
    }
}
