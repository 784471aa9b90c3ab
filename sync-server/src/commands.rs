//! Commands to a running server: make a token, make, list and revoke share links.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use crdt::{DocId, Role, Timestamp};
use serde_json::{Value, json};
use sync_server::access::NewToken;
use sync_server::fetch::{Request, fetch};
use sync_server::{clock, tls};

/// How long the server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The most bytes of an answer: a thousand links.
const MAX_ANSWER: usize = 4 << 20;

/// What to do instead of serving.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Print a token (JWT) for one person, signed by the running server (or with its secret). It counts as the `key` of a link, too.
    Token(Token),
    /// Print a share link, list a document's links, or revoke one.
    Share(Share),
}

/// Which server is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Server {
    /// The running server.
    #[arg(long, env = "INKLING_SERVER", default_value = "http://127.0.0.1:4444")]
    server: String,
    /// The owner's key, where the server asks for one.
    #[arg(long, env = "INKLING_KEY", hide_env_values = true)]
    key: Option<String>,
    /// Certificates (PEM) of authorities to trust besides those that browsers trust.
    #[arg(long, env = "INKLING_CA")]
    ca: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    #[command(flatten)]
    server: Server,
    /// Who: stable, and nobody else's.
    #[arg(long)]
    sub: String,
    /// The person's name.
    #[arg(long)]
    name: Option<String>,
    /// A document's id, or * for all.
    #[arg(long)]
    doc: String,
    /// viewer, suggester, editor or owner.
    #[arg(long)]
    role: Role,
    /// Another role in the margin.
    #[arg(long)]
    margin: Option<Role>,
    /// How long it counts: 30m, 12h, 30d.
    #[arg(long, default_value = "30d", value_parser = duration)]
    expires_in: Duration,
    /// The server's secret, when it was started with one: then no server is asked.
    #[arg(long, env = "INKLING_SECRET", hide_env_values = true)]
    secret: Option<String>,
    /// The issuer that the server asks for, when it is not asked itself.
    #[arg(long, env = "INKLING_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// The audience that the server asks for, when it is not asked itself.
    #[arg(long, env = "INKLING_JWT_AUDIENCE")]
    jwt_audience: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Share {
    #[command(flatten)]
    server: Server,
    /// The document's id.
    #[arg(long)]
    doc: DocId,
    /// What the link allows: viewer, suggester, editor or owner.
    #[arg(long, required_unless_present_any = ["list", "revoke"])]
    role: Option<Role>,
    /// How long it counts: 30m, 12h, 30d. Default: until it is revoked.
    #[arg(long, value_parser = duration)]
    expires_in: Option<Duration>,
    /// What it is for.
    #[arg(long)]
    label: Option<String>,
    /// List the document's links.
    #[arg(long, conflicts_with_all = ["role", "revoke"])]
    list: bool,
    /// Revoke the link with this id.
    #[arg(long, value_name = "ID", conflicts_with = "role")]
    revoke: Option<String>,
}

/// Reads `90s`, `30m`, `12h`, `30d`.
fn duration(text: &str) -> Result<Duration, String> {
    let words = || format!("`{text}` is no length of time: use for example 30m, 12h or 30d");
    let unit = text.chars().last().ok_or_else(words)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(words()),
    };
    let count = text.trim_end_matches(unit).parse::<u64>().map_err(|_| words())?;
    count
        .checked_mul(seconds)
        .filter(|seconds| *seconds > 0 && *seconds < 1 << 40)
        .map(Duration::from_secs)
        .ok_or_else(words)
}

impl Command {
    /// Does it and prints what came of it.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let lines = match self {
            Self::Token(token) => token.run().await?,
            Self::Share(share) => share.run().await?,
        };
        std::io::stdout()
            .write_all(lines.as_bytes())
            .context("the answer cannot be printed")
    }
}

impl Token {
    async fn run(self) -> anyhow::Result<String> {
        if let Some(secret) = &self.secret {
            let new = NewToken {
                sub: self.sub,
                name: self.name,
                doc: self.doc,
                role: self.role,
                margin: self.margin,
                expires_in: self.expires_in.as_secs(),
            };
            let (issuer, audience) = (self.jwt_issuer.as_deref(), self.jwt_audience.as_deref());
            return Ok(format!("{}\n", new.sign(secret, issuer, audience, clock::now())?));
        }
        let body = json!({
            "sub": self.sub,
            "name": self.name,
            "doc": self.doc,
            "role": self.role,
            "margin": self.margin,
            "expiresIn": self.expires_in.as_secs(),
        });
        let made = self.server.ask("POST", &["tokens"], Some(body)).await?;
        Ok(format!("{}\n", text(&made, "token")))
    }
}

impl Share {
    async fn run(self) -> anyhow::Result<String> {
        let doc = self.doc.as_str();
        if let Some(id) = &self.revoke {
            self.server
                .ask("DELETE", &["documents", doc, "shares", id], None)
                .await?;
            return Ok(format!(
                "Revoked {id}: whoever came by it has no access any more.\n"
            ));
        }
        let path = ["documents", doc, "shares"];
        if self.list {
            let links = self.server.ask("GET", &path, None).await?;
            return Ok(links.as_array().into_iter().flatten().map(line).collect());
        }
        let until = |left: Duration| {
            let ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            Timestamp(clock::now().0.saturating_add(ms))
        };
        let body = json!({"role": self.role, "label": self.label, "expiresAt": self.expires_in.map(until)});
        let made = self.server.ask("POST", &path, Some(body)).await?;
        Ok(format!("{}\n", text(&made, "url")))
    }
}

/// A text of an answer, or a dash.
fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// One link: its id, role, end and address.
fn line(link: &Value) -> String {
    let until = link.get("expiresAt").and_then(Value::as_u64);
    let until = until.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let [id, role, label, url] = ["id", "role", "label", "url"].map(|name| text(link, name));
    format!("{id}\t{role}\t{until}\t{label}\t{url}\n")
}

impl Server {
    async fn ask(&self, method: &str, path: &[&str], body: Option<Value>) -> anyhow::Result<Value> {
        let mut url = url::Url::parse(&self.server).with_context(|| format!("--server {}", self.server))?;
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("--server {} is no address of a server", self.server))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let body = body.map(|body| body.to_string());
        let request = Request {
            method,
            url: url.as_str(),
            bearer: self.key.as_deref().filter(|key| !key.is_empty()),
            body: body.as_deref(),
            max_answer: MAX_ANSWER,
            within: ANSWER_WITHIN,
        };
        let answer = fetch(&request, &tls::client(self.ca.as_deref())?)
            .await
            .context("is the server running? Its address goes into --server")?;
        let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if (200..300).contains(&answer.status) {
            return Ok(json);
        }
        let words = text(&json, "message");
        anyhow::bail!("the server answers {}: {words}", answer.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for bad in ["", "d", "10", "1w", "-1d", "0h", "99999999999999999999d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
