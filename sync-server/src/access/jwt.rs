//! Tokens (JWT, RFC 7519): signed by this server's secret, by a key that its owner gave, or by an identity provider whose keys
//! stand at a JWKS address (RFC 7517).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crdt::ids::{DocId, Role, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::pass::{Roles, Token};
use super::{AccessError, MAX_NAME_BYTES};
use crate::fetch::{self, Request};

/// The longest token that is looked at. Those of identity providers with many groups have some kilobytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 << 10;

/// How long before its time a token may come: clocks differ.
const NOT_BEFORE_LEEWAY_MS: u64 = 60_000;

/// How often the address of keys is asked at most: a token that names an unknown key costs its sender nothing.
const REFRESH_EVERY: Duration = Duration::from_secs(60);
/// How old the keys may be before they are asked for again: so long does a key count that its owner has withdrawn.
const KEYS_LAST: Duration = Duration::from_secs(600);
/// How long the address may take.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is read, and the most keys of it.
const MAX_KEYS_BYTES: usize = 256 << 10;
const MAX_KEYS: usize = 64;

/// A key that signs tokens.
#[derive(Clone)]
pub struct JwtKey {
    kid: Option<String>,
    key: DecodingKey,
}

impl std::fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no key for tokens: it takes a public key as PEM (Ed25519, P-256, P-384 or RSA), or a secret of 32 characters or more"
)]
pub struct JwtKeyError;

impl JwtKey {
    /// The shortest secret for HMAC, in bytes (RFC 7518, 3.2).
    const MIN_SECRET: usize = 32;

    /// Reads a public key as PEM, or takes the text (without the space around it) as a secret for HMAC. With `kid` it counts for
    /// tokens only that name it, or no key at all.
    ///
    /// # Errors
    /// [`JwtKeyError`].
    pub fn parse(kid: Option<String>, text: &str) -> Result<Self, JwtKeyError> {
        let bytes = text.trim().as_bytes();
        let key = if text.contains("-----BEGIN") {
            DecodingKey::from_ed_pem(bytes)
                .or_else(|_| DecodingKey::from_ec_pem(bytes))
                .or_else(|_| DecodingKey::from_rsa_pem(bytes))
                .map_err(|_| JwtKeyError)?
        } else if bytes.len() >= Self::MIN_SECRET {
            DecodingKey::from_secret(bytes)
        } else {
            return Err(JwtKeyError);
        };
        Ok(Self { kid, key })
    }
}

/// Which tokens count.
#[derive(Debug, Clone, Default)]
pub struct JwtSettings {
    /// Keys besides the server's secret.
    pub keys: Vec<JwtKey>,
    /// Where an identity provider has its keys (JWKS).
    pub jwks: Option<String>,
    /// What `iss` must be, when given.
    pub issuer: Option<String>,
    /// What `aud` must hold, when given.
    pub audience: Option<String>,
}

/// What a token says. Written by [`Verifier::mint`], read from anybody.
#[derive(Debug, Deserialize)]
struct Payload {
    sub: String,
    #[serde(default)]
    name: Option<String>,
    /// Seconds, perhaps with a fraction (RFC 7519, 2: NumericDate).
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(default)]
    inkling: Option<Rights>,
    #[serde(default)]
    docs: BTreeMap<String, RoleClaim>,
}

#[derive(Debug, Default, Deserialize)]
struct Rights {
    #[serde(default)]
    doc: Option<String>,
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    margin: Option<Role>,
    #[serde(default)]
    docs: BTreeMap<String, RoleClaim>,
}

/// A role as it stands in a token: its name, or one for each part.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum RoleClaim {
    Both(Role),
    Parts {
        role: Role,
        #[serde(default)]
        margin: Option<Role>,
    },
}

impl RoleClaim {
    fn roles(self) -> Roles {
        match self {
            Self::Both(role) => Roles::all(role),
            Self::Parts { role, margin } => Roles::of(role, margin),
        }
    }
}

/// A token to be made.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewToken {
    /// Who.
    pub sub: String,
    /// For people to read.
    #[serde(default)]
    pub name: Option<String>,
    /// A document's id, or `*` for all.
    pub doc: String,
    /// What the token allows.
    pub role: Role,
    /// The role in the margin, where it differs.
    #[serde(default)]
    pub margin: Option<Role>,
    /// How long it counts, in seconds.
    #[serde(default = "one_day")]
    pub expires_in: u64,
}

impl NewToken {
    /// Signs the token with a server's secret; `issuer` and `audience` are what that server asks for, if anything.
    ///
    /// # Errors
    /// [`AccessError::TokenBad`] when no token can say this.
    pub fn sign(
        &self,
        secret: &str,
        issuer: Option<&str>,
        audience: Option<&str>,
        now: Timestamp,
    ) -> Result<String, AccessError> {
        check_sub(&self.sub)?;
        if self.doc != "*" {
            DocId::parse(&self.doc).map_err(|_| AccessError::TokenBad("its document's id is not valid"))?;
        }
        let at = now.0 / 1000;
        let minted = Minted {
            sub: &self.sub,
            name: self.name.as_deref(),
            iat: at,
            exp: at.saturating_add(self.expires_in),
            iss: issuer,
            aud: audience,
            inkling: MintedRights {
                doc: &self.doc,
                role: self.role,
                margin: self.margin,
            },
        };
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &minted, &key)
            .map_err(|_| AccessError::TokenBad("it cannot be signed"))
    }
}

const fn one_day() -> u64 {
    86_400
}

#[derive(Serialize)]
struct Minted<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    inkling: MintedRights<'a>,
}

#[derive(Serialize)]
struct MintedRights<'a> {
    doc: &'a str,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<Role>,
}

/// Checks tokens, and signs those of this server.
pub(crate) struct Verifier {
    settings: JwtSettings,
    secret: String,
    tls: Arc<rustls::ClientConfig>,
    remote: RwLock<Vec<JwtKey>>,
    /// When the address of keys was asked last, and answered last. Held while it is asked, so that it is asked once.
    asked: tokio::sync::Mutex<[Option<Instant>; 2]>,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    pub(crate) fn new(settings: JwtSettings, secret: String, tls: Arc<rustls::ClientConfig>) -> Self {
        Self {
            settings,
            secret,
            tls,
            remote: RwLock::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    /// Whether a text has the form of a token: three parts, the first a JSON object in base64.
    pub(crate) fn is_token(text: &str) -> bool {
        text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
    }

    /// Checks a token.
    ///
    /// # Errors
    /// [`AccessError::TokenBad`] or [`AccessError::Expired`].
    pub(crate) async fn verify(&self, token: &str, now: Timestamp) -> Result<Token, AccessError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(AccessError::TokenBad("it is too long"));
        }
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| AccessError::TokenBad("it cannot be read"))?;
        let own = JwtKey {
            kid: None,
            key: DecodingKey::from_secret(self.secret.as_bytes()),
        };
        let payload = match self.check(token, &header, std::iter::once(&own).chain(&self.settings.keys)) {
            Err(AccessError::TokenBad(UNKNOWN_KEY)) if self.settings.jwks.is_some() => {
                self.check_remote(token, &header).await?
            }
            checked => checked?,
        };
        Self::read(payload, now)
    }

    /// A token of this server.
    pub(crate) fn mint(&self, new: &NewToken, now: Timestamp) -> Result<String, AccessError> {
        let (issuer, audience) = (self.settings.issuer.as_deref(), self.settings.audience.as_deref());
        new.sign(&self.secret, issuer, audience, now)
    }

    fn check<'a>(
        &self,
        token: &str,
        header: &Header,
        keys: impl Iterator<Item = &'a JwtKey>,
    ) -> Result<Payload, AccessError> {
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        // By this server's own clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = self.settings.audience.is_some();
        if let Some(audience) = &self.settings.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        let mut problem = UNKNOWN_KEY;
        for known in keys {
            let named = known.kid.is_none() || header.kid.is_none() || known.kid == header.kid;
            // Each key for its own kind of signature: never a public key as the secret of an HMAC.
            if !named || known.key.family() != family(header.alg) {
                continue;
            }
            match jsonwebtoken::decode::<Payload>(token, &known.key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => match error.kind() {
                    jsonwebtoken::errors::ErrorKind::InvalidSignature => {}
                    jsonwebtoken::errors::ErrorKind::InvalidIssuer => {
                        problem = "it is by another issuer";
                    }
                    jsonwebtoken::errors::ErrorKind::InvalidAudience => {
                        problem = "it is for another audience";
                    }
                    jsonwebtoken::errors::ErrorKind::MissingRequiredClaim(_) => {
                        problem = "its issuer or audience is missing";
                    }
                    _ => problem = "what it says is not what docs/protocol.md describes",
                },
            }
        }
        Err(AccessError::TokenBad(problem))
    }

    /// Looks among the keys of the address; asks it when they are old, or do not have the token's.
    async fn check_remote(&self, token: &str, header: &Header) -> Result<Payload, AccessError> {
        let look = || {
            let keys = self.remote.read().unwrap_or_else(PoisonError::into_inner);
            self.check(token, header, keys.iter())
        };
        let mut asked = self.asked.lock().await;
        let [tried, answered] = *asked;
        let known = look();
        let fresh = answered.is_some_and(|at| at.elapsed() < KEYS_LAST);
        if fresh && !matches!(known, Err(AccessError::TokenBad(UNKNOWN_KEY))) {
            return known;
        }
        if tried.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
            return known;
        }
        let now = Instant::now();
        *asked = [Some(now), answered];
        match self.fetch().await {
            Ok(keys) => {
                *self.remote.write().unwrap_or_else(PoisonError::into_inner) = keys;
                *asked = [Some(now), Some(now)];
            }
            Err(error) => tracing::warn!(error, "the keys of the identity provider cannot be read"),
        }
        look()
    }

    async fn fetch(&self) -> Result<Vec<JwtKey>, String> {
        let url = self.settings.jwks.as_deref().unwrap_or_default();
        let request = Request {
            method: "GET",
            url,
            bearer: None,
            body: None,
            max_answer: MAX_KEYS_BYTES,
            within: FETCH_WITHIN,
        };
        let answer = fetch::fetch(&request, &self.tls)
            .await
            .map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{url} answers HTTP {}", answer.status));
        }
        let set: JwkSet =
            serde_json::from_slice(&answer.body).map_err(|error| format!("{url} holds no JWKS: {error}"))?;
        let keys = set.keys.iter().take(MAX_KEYS).filter_map(|jwk| {
            let key = DecodingKey::from_jwk(jwk).ok()?;
            // A secret that stands at an address is none.
            let kid = jwk.common.key_id.clone();
            (key.family() != AlgorithmFamily::Hmac).then_some(JwtKey { kid, key })
        });
        Ok(keys.collect())
    }

    fn read(payload: Payload, now: Timestamp) -> Result<Token, AccessError> {
        check_sub(&payload.sub)?;
        let expires = milliseconds(payload.exp).ok_or(AccessError::TokenBad("its time is no time"))?;
        if expires <= now {
            return Err(AccessError::Expired);
        }
        if let Some(from) = payload.nbf {
            let from = milliseconds(from).ok_or(AccessError::TokenBad("its time is no time"))?;
            if from > now.plus_ms(NOT_BEFORE_LEEWAY_MS) {
                return Err(AccessError::TokenBad("it does not count yet"));
            }
        }
        let Rights {
            doc,
            role,
            margin,
            docs,
        } = payload.inkling.unwrap_or_default();
        let mut token = Token {
            sub: payload.sub,
            name: payload.name,
            expires,
            everywhere: None,
            documents: BTreeMap::new(),
        };
        let one = role.map(|role| (doc.unwrap_or_else(|| "*".to_owned()), Roles::of(role, margin)));
        let listed = docs.into_iter().chain(payload.docs);
        for (doc, roles) in one
            .into_iter()
            .chain(listed.map(|(doc, claim)| (doc, claim.roles())))
        {
            if doc == "*" {
                token.everywhere = Some(roles);
            } else if let Ok(doc) = DocId::parse(&doc) {
                token.documents.insert(doc, roles);
            }
        }
        Ok(token)
    }
}

/// Said of a token that no known key has signed.
const UNKNOWN_KEY: &str = "no key of this server has signed it";

fn check_sub(sub: &str) -> Result<(), AccessError> {
    if sub.is_empty() || sub.len() > MAX_NAME_BYTES || sub.chars().any(char::is_control) {
        return Err(AccessError::TokenBad(
            "its `sub` is empty or longer than 200 bytes",
        ));
    }
    Ok(())
}

fn milliseconds(seconds: f64) -> Option<Timestamp> {
    (0.0..1e13)
        .contains(&seconds)
        .then_some(Timestamp((seconds * 1000.0) as u64))
}

const fn family(algorithm: Algorithm) -> AlgorithmFamily {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => AlgorithmFamily::Hmac,
        Algorithm::ES256 | Algorithm::ES384 => AlgorithmFamily::Ec,
        Algorithm::RS256
        | Algorithm::RS384
        | Algorithm::RS512
        | Algorithm::PS256
        | Algorithm::PS384
        | Algorithm::PS512 => AlgorithmFamily::Rsa,
        Algorithm::EdDSA => AlgorithmFamily::Ed,
    }
}
