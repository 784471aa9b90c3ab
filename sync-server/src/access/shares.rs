//! Share links: a right to one document, signed by this server's secret. A link is good while the store has its row, so
//! it can be revoked; the signature keeps guesses from the rows.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use crdt::ids::{DocId, Role, Timestamp};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::AccessError;
use crate::store::ShareRow;

/// What the key of a share link begins with.
const PREFIX: &str = "share.";

/// What is signed with, beside the secret: so that no token of another kind is a share link.
const PURPOSE: &[u8] = b"inkling share link 1";

/// What a link holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub(crate) id: String,
    pub(crate) doc: DocId,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<Timestamp>,
}

/// Whether a key is that of a share link.
pub(crate) fn is_share(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// The key of a link.
pub(crate) fn sign(secret: &str, share: &ShareRow) -> String {
    let signed = Signed {
        id: share.id.clone(),
        doc: share.doc.clone(),
        role: share.role,
        exp: share.expires_at,
    };
    let payload = BASE64.encode(serde_json::to_vec(&signed).expect("plain values"));
    let mac = BASE64.encode(mac(secret, &payload).finalize().into_bytes());
    format!("{PREFIX}{payload}.{mac}")
}

/// What a key holds, when this server has signed it.
///
/// # Errors
/// [`AccessError::KeyWrong`].
pub(crate) fn open(secret: &str, key: &str) -> Result<Signed, AccessError> {
    let parts = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.'));
    let (payload, signature) = parts.ok_or(AccessError::KeyWrong)?;
    let signature = BASE64.decode(signature).map_err(|_| AccessError::KeyWrong)?;
    mac(secret, payload)
        .verify_slice(&signature)
        .map_err(|_| AccessError::KeyWrong)?;
    let payload = BASE64.decode(payload).map_err(|_| AccessError::KeyWrong)?;
    serde_json::from_slice(&payload).map_err(|_| AccessError::KeyWrong)
}

fn mac(secret: &str, payload: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(PURPOSE);
    mac.update(payload.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ShareRow {
        ShareRow {
            id: "01share".into(),
            doc: DocId::parse("Über/uns").unwrap(),
            role: Role::Suggester,
            label: None,
            created_at: Timestamp(1),
            created_by: "user:ada".into(),
            expires_at: Some(Timestamp(2)),
        }
    }

    #[test]
    fn a_link_opens_what_was_signed_and_nothing_else() {
        let key = sign("secret", &row());
        let signed = open("secret", &key).unwrap();
        assert_eq!(
            (signed.doc, signed.role, signed.exp),
            (row().doc, row().role, row().expires_at)
        );
        assert!(
            is_share(&key)
                && key
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        );
        assert_eq!(open("another", &key), Err(AccessError::KeyWrong));
        for at in 0..key.len() {
            let mut bytes = key.clone().into_bytes();
            bytes[at] ^= 1;
            let bent = String::from_utf8(bytes).unwrap();
            // The last character of base64 has bits that stand for nothing, and they must be zero.
            assert_eq!(open("secret", &bent), Err(AccessError::KeyWrong), "{bent}");
        }
        for none in ["", "share.", "share..", "share.e30.e30", "eyJ.e30.e30"] {
            assert_eq!(open("secret", none), Err(AccessError::KeyWrong), "{none}");
        }
    }
}
