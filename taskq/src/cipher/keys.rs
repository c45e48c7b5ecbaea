//! The keys that encrypt and decrypt, each with its id.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// How many bytes a key has.
const KEY_LENGTH: usize = 32;

/// How many bytes in front of each encrypted value make it another each time.
const NONCE_LENGTH: usize = 24;

/// The longest id of a key, in bytes.
const MAX_ID_LENGTH: usize = 64;

/// The keys for encrypted fields: the one that encrypts, and older ones that decrypt still.
///
/// They are read from a text such as `2026-11:BASE64, 2026-05:BASE64`: each key has an id and 32 random bytes in base64, as
/// `openssl rand -base64 32` writes them. The first encrypts.
///
/// ```
/// use taskq::encryption::Keys;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys: Keys = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=".parse()?;
/// assert_eq!(format!("{keys:?}"), r#"Keys(["2026-11"])"#);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Keys {
    newest: Arc<Key>,
    older: BTreeMap<String, Arc<Key>>,
}

struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// A value does not decrypt: it is not what was encrypted, or another key did it.
#[derive(Debug)]
pub(super) struct Damaged;

impl Keys {
    /// Makes keys of one that encrypts. The bytes must be random; the id is stored in clear.
    ///
    /// # Errors
    ///
    /// [`KeysError`] if the id is not 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.
    ///
    /// ```
    /// use taskq::encryption::Keys;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let [new, old] = [[1; 32], [2; 32]];
    /// let keys = Keys::new("2026-11", new)?.older("2026-05", old)?;
    /// # Ok(()) }
    /// ```
    pub fn new(id: &str, key: [u8; KEY_LENGTH]) -> Result<Self, KeysError> {
        Ok(Self {
            newest: Arc::new(Key::new(id, key)?),
            older: BTreeMap::new(),
        })
    }

    /// Adds one that decrypts what it once encrypted.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if there is a key of this id already.
    pub fn older(mut self, id: &str, key: [u8; KEY_LENGTH]) -> Result<Self, KeysError> {
        let key = Key::new(id, key)?;
        if self.find(id).is_some() {
            return Err(KeysError(format!("two keys have the id `{id}`")));
        }
        self.older.insert(id.to_owned(), Arc::new(key));
        Ok(self)
    }

    /// Returns the id of the key that encrypts.
    pub fn newest_id(&self) -> &str {
        &self.newest.id
    }

    fn find(&self, id: &str) -> Option<&Key> {
        match id == self.newest.id {
            true => Some(&self.newest),
            false => self.older.get(id).map(|key| &**key),
        }
    }

    /// Encrypts a value with the newest key. `context` must be the same when it is decrypted.
    pub(super) fn encrypt(&self, value: &[u8], context: &[u8]) -> String {
        let nonce = XNonce::generate();
        let payload = Payload {
            msg: value,
            aad: context,
        };
        let encrypted = self.newest.cipher.encrypt(&nonce, payload);
        // Of more than 256 GB: no payload is as long.
        let encrypted = encrypted.expect("a value that fits in memory is encrypted");
        STANDARD.encode([&*nonce, &encrypted[..]].concat())
    }

    /// Decrypts a value with the key of this id; `None` if that is not here.
    pub(super) fn decrypt(
        &self,
        id: &str,
        value: &str,
        context: &[u8],
    ) -> Option<Result<Vec<u8>, Damaged>> {
        let key = self.find(id)?;
        let decrypt = || {
            let bytes = STANDARD.decode(value).ok()?;
            let (nonce, encrypted) = bytes.split_at_checked(NONCE_LENGTH)?;
            let payload = Payload {
                msg: encrypted,
                aad: context,
            };
            let nonce = XNonce::try_from(nonce).ok()?;
            key.cipher.decrypt(&nonce, payload).ok()
        };
        Some(decrypt().ok_or(Damaged))
    }
}

impl Key {
    fn new(id: &str, key: [u8; KEY_LENGTH]) -> Result<Self, KeysError> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if id.is_empty() || id.len() > MAX_ID_LENGTH || !id.chars().all(is_allowed) {
            // What is no id may be a key that stands in the wrong place.
            let problem = format!(
                "the id of a key has 1 to {MAX_ID_LENGTH} of the characters A-Z a-z 0-9 . _ -"
            );
            return Err(KeysError(problem));
        }
        Ok(Self {
            id: id.to_owned(),
            cipher: XChaCha20Poly1305::new(&key.into()),
        })
    }
}

/// Reads `ID:BASE64, ID:BASE64`, the newest first.
impl FromStr for Keys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let mut keys: Option<Self> = None;
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let words = words.filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            // None of this may quote a word, which may be a key.
            let problem = |problem: &str| KeysError(format!("key {}: {problem}", at + 1));
            let (id, key) = word
                .split_once(':')
                .ok_or_else(|| problem("write `ID:BASE64`"))?;
            let bytes = STANDARD.decode(key).ok();
            let key: [u8; KEY_LENGTH] = bytes
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| problem("after the `:` stand 32 bytes in base64, as `openssl rand -base64 32` writes them"))?;
            let with_it = match keys {
                None => Self::new(id, key),
                Some(keys) => keys.older(id, key),
            };
            keys = Some(with_it.map_err(|error| problem(&error.0))?);
        }
        keys.ok_or_else(|| KeysError("there is no key: write `ID:BASE64`".to_owned()))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = [&self.newest.id]
            .into_iter()
            .chain(self.older.keys())
            .collect();
        f.debug_tuple("Keys").field(&ids).finish()
    }
}

/// Keys cannot be made of what was given. It quotes none of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysError(String);

impl fmt::Display for KeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeysError {}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "2026-11:ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY=";
    const OLD: &str = "2026-05:YmVlZmRlYWRiZWVmZGVhZGJlZWZkZWFkYmVlZmRlYWQ=";

    fn refusal(text: &str) -> String {
        let parsed: Result<Keys, _> = text.parse();
        parsed.map_or_else(|error| error.to_string(), |_| "accepted".into())
    }

    #[test]
    fn the_first_key_encrypts_and_all_decrypt() {
        let old: Keys = OLD.parse().expect("keys");
        let both: Keys = format!("{NEW}\n{OLD}").parse().expect("keys");
        assert_eq!(both.newest_id(), "2026-11");
        let value = old.encrypt(b"s3cr3t", b"here");
        let decrypted = both.decrypt("2026-05", &value, b"here");
        assert_eq!(decrypted.expect("a key").expect("the value"), b"s3cr3t");
        let again = both.encrypt(b"s3cr3t", b"here");
        assert_ne!(again, both.encrypt(b"s3cr3t", b"here"), "each is another");
        assert!(old.decrypt("2026-11", &again, b"here").is_none());
    }

    #[test]
    fn what_was_changed_or_moved_does_not_decrypt() {
        let keys: Keys = NEW.parse().expect("keys");
        let value = keys.encrypt(b"s3cr3t", b"here");
        let decrypt =
            |value: &str, context: &[u8]| keys.decrypt("2026-11", value, context).expect("a key");
        assert!(decrypt(&value, b"here").is_ok());
        assert!(decrypt(&value, b"elsewhere").is_err());
        for at in 0..value.len() - 1 {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(decrypt(&changed, b"here").is_err(), "at {at}");
            assert!(decrypt(&value[..at], b"here").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_said_of_wrong_keys_quotes_none() {
        assert!(refusal("").starts_with("there is no key"));
        let canary = "ZGVhZGJlZWZkZWFkYmVlZmRlYWRiZWVmZGVhZGJlZWY";
        for text in [
            canary.to_owned(),
            format!("a:{canary}"),
            format!("{canary}=:{canary}="),
        ] {
            let said = refusal(&text);
            assert!(said.starts_with("key 1: "), "{said}");
            assert!(!said.contains("ZGVh"), "{said}");
        }
        assert!(refusal(&format!("{NEW},{NEW}")).contains("two keys have the id `2026-11`"));
        let keys: Keys = NEW.parse().expect("keys");
        assert!(!format!("{keys:?}").contains("ZGVh"));
    }
}
