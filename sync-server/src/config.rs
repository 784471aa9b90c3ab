//! What can be set about the server: defaults, then the environment, then flags. Read once, at the start.

mod engines;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use crdt::Role;
use model::Provider;
use sync_server::access::{JwtKey, JwtSettings};
use sync_server::ai::AiConfig;
use sync_server::{Access, RelayConfig, StorePath, UiSource};

use crate::commands::Command;
pub(crate) use engines::EngineSettings;
use settings::LimitSettings;

/// The documents' file in their folder.
pub(crate) const STORE_FILE: &str = "inkling.sqlite";

/// Inkling's self-hosted server: documents that people and AI models write together.
#[derive(Debug, clap::Parser)]
#[command(
    name = "inkling-server",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Further commands: inkling-server backup FILE | restore FILE | check [--save FOLDER] | doctor, each with --help"
)]
pub(crate) struct Config {
    /// Without one: serve.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Address and port to listen on. Beyond this machine (for example 0.0.0.0:4444) it takes a key.
    #[arg(long, env = "INKLING_LISTEN", default_value = "127.0.0.1:4444")]
    pub(crate) listen: SocketAddr,
    /// Folder of the documents. Default: the system's folder for application data.
    #[arg(long, env = "INKLING_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The owner's key. Whoever has it may do everything.
    #[arg(long, env = "INKLING_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// A further key with a role: editor, suggester or viewer, as ROLE=KEY. May be given several times.
    #[arg(
        long = "role-key",
        env = "INKLING_ROLE_KEYS",
        value_name = "ROLE=KEY",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub(crate) role_keys: Vec<RoleKey>,
    /// What share links and tokens are signed with, 32 characters or more. Default: one that the server makes and keeps.
    #[arg(long, env = "INKLING_SECRET", hide_env_values = true)]
    pub(crate) secret: Option<String>,
    /// A file with a key that signs tokens (JWT): a public key as PEM (Ed25519, P-256, P-384, RSA) or a secret for HMAC; with its
    /// name (kid) as KID=FILE. May be given several times.
    #[arg(
        long = "jwt-key",
        env = "INKLING_JWT_KEYS",
        value_name = "[KID=]FILE",
        value_delimiter = ','
    )]
    pub(crate) jwt_keys: Vec<String>,
    /// Where an identity provider has its keys (JWKS), as https://…
    #[arg(long, env = "INKLING_JWKS", value_name = "URL")]
    pub(crate) jwks: Option<String>,
    /// What the issuer (iss) of every token must be.
    #[arg(long, env = "INKLING_JWT_ISSUER")]
    pub(crate) jwt_issuer: Option<String>,
    /// What the audience (aud) of every token must hold.
    #[arg(long, env = "INKLING_JWT_AUDIENCE")]
    pub(crate) jwt_audience: Option<String>,
    /// The server's certificates (PEM), for https and wss. Without it a proxy may do the encryption.
    #[arg(long, env = "INKLING_TLS_CERT", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key (PEM) of the certificate.
    #[arg(long, env = "INKLING_TLS_KEY", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Certificates (PEM) of authorities to trust besides those that browsers trust, for links to other servers.
    #[arg(long, env = "INKLING_CA")]
    pub(crate) ca: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitSettings,
    /// A web page elsewhere that may use this server, as https://host[:port]. May be given several times.
    #[arg(long = "origin", env = "INKLING_ORIGINS", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,
    /// The most that the documents may take on the disk, in megabytes. Default: what the disk holds.
    #[arg(long, env = "INKLING_MAX_STORE_MB")]
    pub(crate) max_store_mb: Option<u64>,
    /// Folder of the language model, in the Hugging Face ONNX layout. Default: the model that the set-up fetched.
    #[arg(long, visible_alias = "model", env = "INKLING_MODEL")]
    pub(crate) model_dir: Option<PathBuf>,
    /// The ONNX Runtime library. Default: the one that the set-up fetched.
    #[arg(long, env = "INKLING_ORT")]
    pub(crate) ort: Option<PathBuf>,
    /// Devices to ask for, in this order, as `cuda,cpu`; the CPU comes last by itself. Default: cuda,directml,cpu.
    #[arg(long, env = "INKLING_DEVICES", value_delimiter = ',')]
    pub(crate) devices: Option<Vec<Provider>>,
    #[command(flatten)]
    pub(crate) engines: EngineSettings,
    /// Run without an AI peer.
    #[arg(long, env = "INKLING_NO_AI")]
    pub(crate) no_ai: bool,
    /// Folder of the web page. Default: the page that is built into this program.
    #[arg(long, env = "INKLING_UI")]
    pub(crate) ui: Option<PathBuf>,
}

/// A key with a role.
#[derive(Clone)]
pub(crate) struct RoleKey {
    role: Role,
    key: String,
}

impl std::fmt::Debug for RoleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.role)
    }
}

impl std::str::FromStr for RoleKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (role, key) = text
            .split_once('=')
            .ok_or("it has the form ROLE=KEY, for example editor=3fA0…")?;
        let role = role.parse::<Role>().map_err(|error| error.to_string())?;
        if key.is_empty() {
            return Err("the key is empty".into());
        }
        Ok(Self {
            role,
            key: key.to_owned(),
        })
    }
}

impl Config {
    /// The relay that this configuration describes. Makes the folder of the documents.
    pub(crate) fn relay(&self) -> anyhow::Result<RelayConfig> {
        let data = self.data_folder()?;
        std::fs::create_dir_all(&data)
            .with_context(|| format!("the folder {} cannot be made", data.display()))?;
        let mut config = RelayConfig::new(StorePath::Sqlite(data.join(STORE_FILE)));
        let owner = self
            .key
            .iter()
            .filter(|key| !key.is_empty())
            .map(|key| (key.clone(), Role::Owner));
        config.access = Access {
            keys: owner
                .chain(self.role_keys.iter().map(|entry| (entry.key.clone(), entry.role)))
                .collect(),
            open_to_local: self.listen.ip().is_loopback(),
            origins: self.origins.clone(),
            secret: self.secret.clone().filter(|secret| !secret.is_empty()),
            jwt: self.jwt()?,
        };
        config.authorities.clone_from(&self.ca);
        self.limits.apply(&mut config.limits);
        config.store_quota = self
            .max_store_mb
            .map(|megabytes| megabytes.saturating_mul(1 << 20));
        if let Some(folder) = &self.ui {
            config.ui = UiSource::Folder(folder.clone());
        }
        Ok(config)
    }

    fn jwt(&self) -> anyhow::Result<JwtSettings> {
        let mut keys = Vec::new();
        for entry in &self.jwt_keys {
            let (kid, file) = match entry.split_once('=') {
                Some((kid, file)) => (Some(kid.to_owned()), file),
                None => (None, entry.as_str()),
            };
            let text =
                std::fs::read_to_string(file).with_context(|| format!("--jwt-key {file} cannot be read"))?;
            keys.push(JwtKey::parse(kid, &text).with_context(|| format!("--jwt-key {file}"))?);
        }
        if let Some(url) = &self.jwks {
            let local = ["http://localhost", "http://127.0.0.1", "http://[::1]"];
            let safe = url.starts_with("https://") || local.iter().any(|prefix| url.starts_with(prefix));
            anyhow::ensure!(
                safe,
                "--jwks takes an https:// address: whoever can change the answer can sign in as anybody"
            );
        }
        Ok(JwtSettings {
            keys,
            jwks: self.jwks.clone(),
            issuer: self.jwt_issuer.clone(),
            audience: self.jwt_audience.clone(),
        })
    }

    /// The AI that this configuration describes.
    pub(crate) fn ai(&self) -> anyhow::Result<AiConfig> {
        let mut config = AiConfig {
            model: self.model_dir.clone(),
            ort: self.ort.clone(),
            devices: self.devices.clone(),
            ..AiConfig::default()
        };
        self.engines.apply(&mut config, &self.data_folder()?)?;
        Ok(config)
    }

    /// Folder of the documents.
    pub(crate) fn data_folder(&self) -> anyhow::Result<PathBuf> {
        Self::folder_of(self.data.clone())
    }

    /// Folder of the documents, when it was given or not.
    pub(crate) fn folder_of(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
        if let Some(folder) = given {
            return Ok(folder);
        }
        let folders = directories::ProjectDirs::from("app", "Inkling", "Inkling")
            .context("this system names no folder for application data; give one with --data")?;
        Ok(folders.data_dir().join("server"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn limits_and_commands_are_read() {
        let config = Config::parse_from(["inkling-server", "--max-frame-mb", "8", "--requests-per-second=5"]);
        let mut limits = sync_server::Limits::default();
        config.limits.apply(&mut limits);
        assert_eq!((limits.frame_bytes, limits.room.max_message), (8 << 20, 8 << 20));
        assert_eq!(limits.requests_per_second, 5);
        assert!(
            Config::try_parse_from(["inkling-server", "--tls-cert", "a.pem"]).is_err(),
            "without its key"
        );
        let token = [
            "inkling-server",
            "token",
            "--sub",
            "ada",
            "--doc",
            "*",
            "--role",
            "editor",
        ];
        assert!(Config::parse_from(token).command.is_some());
        assert!(Config::try_parse_from(["inkling-server", "share", "--doc", "x", "--role", "king"]).is_err());
    }

    #[test]
    fn engines_come_from_flags_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file =
            r#"{"engines": [{"name": "Far", "url": "https://api.example.com/v1"}], "doubt": {"mean": 0.9}}"#;
        let mut beside = std::fs::File::create(folder.path().join("engines.json")).unwrap();
        std::io::Write::write_all(&mut beside, file.as_bytes()).unwrap();
        let mut config = Config::parse_from([
            "inkling-server",
            "--engine-url",
            "http://localhost:1/v1",
            "--engine-name=Near",
            "--engine-place=internet",
        ]);
        config.data = Some(folder.path().to_owned());
        let ai = config.ai().unwrap();
        let names: Vec<_> = ai.engines.iter().map(|engine| engine.name.as_str()).collect();
        assert_eq!(names, ["Near", "Far"]);
        assert!((ai.thresholds.mean - 0.9).abs() < 1e-9);
        assert!(
            Config::try_parse_from(["inkling-server", "--engine-key", "k"]).is_err(),
            "no key in a flag"
        );
        assert!(
            Config::try_parse_from(["inkling-server", "--engine-model", "m"]).is_err(),
            "without its address"
        );
    }

    #[test]
    fn devices_are_asked_for_by_name() {
        let config = Config::parse_from(["inkling-server", "--devices", "openvino,CPU"]);
        assert_eq!(config.devices, Some(vec![Provider::OpenVino, Provider::Cpu]));
        assert_eq!(Config::parse_from(["inkling-server"]).devices, None);
        let error = Config::try_parse_from(["inkling-server", "--devices", "tpu"]).unwrap_err();
        assert!(error.to_string().contains("`tpu` is none of: cuda"), "{error}");
    }

    #[test]
    fn keys_have_roles() {
        let config = Config::parse_from([
            "inkling-server",
            "--key",
            "o",
            "--role-key",
            "viewer=v",
            "--role-key=editor=e",
        ]);
        let roles: Vec<_> = config
            .role_keys
            .iter()
            .map(|entry| (entry.role, entry.key.as_str()))
            .collect();
        assert_eq!(roles, [(Role::Viewer, "v"), (Role::Editor, "e")]);
        assert!(
            !format!("{:?}", config.role_keys).contains("=v"),
            "keys are not printed"
        );
        for bad in ["king=k", "viewer", "viewer="] {
            assert!(
                Config::try_parse_from(["inkling-server", "--role-key", bad]).is_err(),
                "{bad}"
            );
        }
    }
}
