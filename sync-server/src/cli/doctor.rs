//! `doctor`: the engines' self-test.

use std::path::PathBuf;
use std::process::ExitCode;

use model::Provider;
use sync_server::ai::{self, AiConfig};

use super::{folder, say};
use crate::config::EngineSettings;

/// What is examined.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Folder of the language model. Default: the model that the set-up fetched.
    #[arg(long, visible_alias = "model", env = "INKLING_MODEL")]
    model_dir: Option<PathBuf>,
    /// The ONNX Runtime library. Default: the one that the set-up fetched.
    #[arg(long, env = "INKLING_ORT")]
    ort: Option<PathBuf>,
    /// Devices to ask for, in this order, as `cuda,cpu`. Default: as the server asks.
    #[arg(long, env = "INKLING_DEVICES", value_delimiter = ',')]
    devices: Option<Vec<Provider>>,
    #[command(flatten)]
    engines: EngineSettings,
    /// Folder of the documents, where engines.json may be.
    #[arg(long, env = "INKLING_DATA")]
    data: Option<PathBuf>,
}

impl Doctor {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = AiConfig {
            model: self.model_dir,
            ort: self.ort,
            devices: self.devices,
            ..AiConfig::default()
        };
        self.engines.apply(&mut config, &folder(self.data)?)?;
        let (report, as_asked) = ai::doctor(config).map_err(anyhow::Error::msg)?;
        say(report.trim_end());
        // Whoever names devices wants one of them: a script must see it without reading.
        Ok(if as_asked {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
