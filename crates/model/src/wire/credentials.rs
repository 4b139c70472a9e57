//! Credentials as they cross the HTTP API. Secrets go one way, to the server; no answer has room for one.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, Zeroizing};

use crate::id::Timestamp;
use crate::inventory::CredentialName;
use crate::secret::Secret;

/// What a credential may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// A private key.
    Key,
    /// A certificate for the key.
    Certificate,
    /// A passphrase for keys in files.
    Passphrase,
    /// A password for the login.
    Password,
    /// A password for sudo.
    SudoPassword,
}

impl Held {
    /// Everything there is.
    pub const ALL: [Self; 5] = [
        Self::Key,
        Self::Certificate,
        Self::Passphrase,
        Self::Password,
        Self::SudoPassword,
    ];

    /// Returns its name, as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Passphrase => "passphrase",
            Self::Password => "password",
            Self::SudoPassword => "sudo-password",
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A secret in a request, base64: so nothing in it has to be escaped, and reading it makes no copy that is not wiped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded(pub Secret);

impl Serialize for Encoded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(STANDARD.encode(self.0.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Encoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Encoded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in base64")
            }

            // The error of the decoder shows what it has read: none of it is passed on.
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Encoded, E> {
                let wrong = || E::custom("a secret is not base64 of UTF-8 text");
                let mut bytes = Vec::with_capacity(text.len());
                if STANDARD.decode_vec(text, &mut bytes).is_err() {
                    bytes.zeroize();
                    return Err(wrong());
                }
                match String::from_utf8(bytes) {
                    Ok(text) => Ok(Encoded(Secret::new(text))),
                    Err(error) => {
                        error.into_bytes().zeroize();
                        Err(wrong())
                    }
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// What `PUT /api/v1/credentials/{name}` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PutMode {
    /// Makes it new, or replaces it whole.
    #[default]
    Replace,
    /// Makes it new; it must not exist.
    Add,
    /// Changes what is named and keeps the rest; it must exist.
    Change,
}

/// `PUT /api/v1/credentials/{name}`: a credential. Secrets are base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PutCredential {
    /// What becomes of one that exists.
    pub mode: PutMode,
    /// The user to log in as, where the task, the target and the inventory name none; empty: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A private key: OpenSSH's own form or PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub key_base64: Option<Encoded>,
    /// A certificate for the key, as it stands in `…-cert.pub`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// With a key: opens it, once, and is not kept. Alone: is kept, for keys in files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub passphrase_base64: Option<Encoded>,
    /// A password for the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub password_base64: Option<Encoded>,
    /// A password for sudo.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, write_only))]
    pub sudo_password_base64: Option<Encoded>,
    /// With `change`: what it holds no longer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forget: Vec<Held>,
}

/// A credential as it is shown: what it holds, and never the secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CredentialView {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub name: CredentialName,
    /// The user to log in as.
    pub user: Option<String>,
    /// What it holds.
    pub holds: Vec<Held>,
    /// The public half of its key: algorithm and fingerprint.
    pub public_key: Option<String>,
    /// How many hosts of the inventory name it.
    pub hosts: u64,
    /// The id of the vault's key that it is sealed with.
    pub sealed_with: String,
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub changed_at: Timestamp,
}

/// `POST /api/v1/credentials/rekey`: what was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rekeyed {
    /// The id of the key that everything is sealed with now.
    pub key: String,
    /// How many credentials were sealed again.
    pub resealed: u64,
    /// The ids of the keys that are no longer used.
    pub retired: Vec<String>,
    /// Whether this finished what an earlier call had begun.
    pub resumed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PutCredential, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn secrets_cross_in_base64_and_come_back_whole() {
        let put = PutCredential {
            mode: PutMode::Add,
            user: Some("deploy".into()),
            password_base64: Some(Encoded(Secret::new("p\"ä\n".into()))),
            ..PutCredential::default()
        };
        let text = serde_json::to_string(&put).expect("it is written");
        assert_eq!(
            text,
            r#"{"mode":"add","user":"deploy","password_base64":"cCLDpAo="}"#
        );
        assert_eq!(read(&text), Ok(put));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        for text in [
            r#"{"password_base64":"hunter2!"}"#,
            r#"{"password_base64":"/w=="}"#,
        ] {
            let error = read(text).expect_err("refused");
            assert!(
                !error.contains("hunter2") && error.contains("not base64"),
                "{error}"
            );
        }
    }

    #[test]
    fn names_are_those_of_json() {
        for held in Held::ALL {
            let json = serde_json::to_string(&held).expect("it is written");
            assert_eq!(json, format!("\"{held}\""));
        }
    }
}
