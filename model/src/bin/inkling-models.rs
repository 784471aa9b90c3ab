//! `inkling-models`: the models on this machine, on the command line.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use model::gguf::{ConvertOptions, Variant};
use model::manager::{
    AdapterLibrary, Fit, GgufExtras, Hub, HubChoice, Installed, Library, Measured, Needs, Progress, Retries,
    Verdict,
};
use model::{Artifact, EngineOptions, Generator, Locations, Runtime, Worker};

#[derive(Debug, Parser)]
#[command(
    name = "inkling-models",
    version,
    about = "Lists, adds, removes and verifies the models on this machine"
)]
struct Arguments {
    /// Folder of the models [default: `models` in Inkling's cache]
    #[arg(long, global = true, value_name = "FOLDER")]
    models: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show every model that can be used
    List,
    /// Add a folder in the ONNX layout, a GGUF file, or a hub's model (`owner/name`)
    Add(Box<Add>),
    /// Remove a model
    Remove {
        /// Its name in the list
        name: String,
    },
    /// Compare a model's files with what was recorded when it was added
    Verify {
        /// Its name in the list
        name: String,
    },
    /// LoRA adapters, which a model wears for single requests
    Adapters {
        /// Folder of the adapters [default: `adapters` in Inkling's cache]
        #[arg(long, value_name = "FOLDER")]
        adapters: Option<PathBuf>,
        #[command(subcommand)]
        command: AdapterCommand,
    },
    /// Show all that is known about a model
    Show {
        /// Its name in the list
        name: String,
        /// Load it and measure its speed first
        #[arg(long)]
        measure: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AdapterCommand {
    /// Show every adapter, and the model that it fits
    List,
    /// Add a PEFT folder (adapter_config.json, adapter_model.safetensors) or a GGUF file
    Add {
        /// The folder or file
        what: PathBuf,
        /// Its name in the list [default: made from the file's]
        #[arg(long)]
        name: Option<String>,
        /// The model that it was trained on, by its name in the list of models [default: the model in use]
        #[arg(long)]
        model: Option<String>,
    },
    /// Remove an adapter
    Remove {
        /// Its name in the list
        name: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// A folder, a file ending in .gguf, or a hub's model as `owner/name`
    what: String,
    /// Its name in the list [default: made from what is added]
    #[arg(long)]
    name: Option<String>,
    /// ONNX models: the variant to download. GGUF files: fp32, q8 or exact [default: exact]
    #[arg(long)]
    variant: Option<String>,
    /// The longest context of a converted model, in tokens
    #[arg(long, default_value_t = ConvertOptions::default().longest_context)]
    context: usize,
    /// A GGUF file's model card and licence, in the place of what it says about itself
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// See --card
    #[arg(long, value_name = "FILE")]
    licence: Option<PathBuf>,
    /// A chat template (Jinja), for a GGUF file that has none
    #[arg(long, value_name = "FILE")]
    chat_template: Option<PathBuf>,
    /// The hub's address
    #[arg(long, default_value = "https://huggingface.co", value_name = "URL")]
    hub: url::Url,
    /// A hub's token, for models that ask for an agreement
    #[arg(long, env = "HF_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A hub's branch, tag or commit
    #[arg(long)]
    revision: Option<String>,
    /// A hub's GGUF file, by its name there
    #[arg(long)]
    file: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let root = arguments
        .models
        .unwrap_or_else(|| Locations::from_environment().cache.join("models"));
    let library = Library::new(&root);
    match arguments.command {
        Command::List => list(&library),
        Command::Add(add) => add_model(&library, *add).await?,
        Command::Remove { name } => {
            library.remove(&name)?;
            println!("{name} is removed.");
        }
        Command::Verify { name } => match library.verify(&name)? {
            Verdict::Whole(files) => println!("{name}: all {files} files are as they were added."),
            Verdict::NotRecorded => println!("{name} can be used; nothing was recorded to compare it with."),
            Verdict::Changed(files) => {
                println!(
                    "{name}: changed or missing: {}. Remove it and add it again.",
                    files.join(", ")
                );
                return Ok(ExitCode::FAILURE);
            }
        },
        Command::Adapters { adapters, command } => {
            let root = adapters.unwrap_or_else(|| Locations::from_environment().adapters());
            change_adapters(&AdapterLibrary::new(root), &library, command)?;
        }
        Command::Show { name, measure } => {
            if measure {
                let model = library.find(&name)?;
                library.remember_speed(&name, &speed_of(&model)?)?;
            }
            show(&library.find(&name)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(library: &Library) {
    let (models, broken) = library.list();
    if models.is_empty() {
        println!("There are no models yet: `inkling-models add` adds one.");
    }
    for model in &models {
        println!(
            "{:<32} {:>8}  {:<9} {:>7} tokens  {}",
            model.id,
            size(model.bytes),
            model.artifact.quantisation,
            model
                .artifact
                .context_length
                .map_or("?".into(), |length| length.to_string()),
            model.artifact.licence.as_deref().unwrap_or("licence not stated")
        );
    }
    for (name, reason) in broken {
        eprintln!("{name} cannot be used: {reason}");
    }
}

fn change_adapters(adapters: &AdapterLibrary, library: &Library, command: AdapterCommand) -> Result<()> {
    match command {
        AdapterCommand::List => {
            let found = adapters.list();
            if found.is_empty() {
                println!("There are no adapters yet: `inkling-models adapters add` adds one.");
            }
            for adapter in found {
                println!(
                    "{:<32} {:>8}  rank {:<4} {} matrices of {}",
                    adapter.id,
                    size(adapter.bytes),
                    adapter.record.rank,
                    adapter.record.changed,
                    adapter.record.base
                );
            }
        }
        AdapterCommand::Add { what, name, model } => {
            let base = match model {
                Some(model) => library.find(&model)?.artifact,
                None => Artifact::open(&Locations::from_environment().model)?,
            };
            let adapter = adapters.add(&what, name.as_deref(), &base)?;
            println!(
                "{} is added: it changes {} matrices of {}.",
                adapter.id, adapter.record.changed, adapter.record.base
            );
        }
        AdapterCommand::Remove { name } => {
            adapters.remove(&name)?;
            println!("{name} is removed.");
        }
    }
    Ok(())
}

fn show(model: &Installed) {
    let artifact = &model.artifact;
    let context = EngineOptions::default().context;
    println!("{} ({})", artifact.name, model.id);
    println!("  folder        {}", artifact.folder.display());
    println!(
        "  licence       {}",
        artifact.licence.as_deref().unwrap_or("not stated")
    );
    println!("  size          {}", size(model.bytes));
    println!("  quantisation  {}", artifact.quantisation);
    println!(
        "  context       {} tokens",
        artifact
            .context_length
            .map_or("?".into(), |length| length.to_string())
    );
    if let Some(manifest) = &model.manifest {
        println!(
            "  source        {}",
            serde_json::to_string(&manifest.source).unwrap_or_default()
        );
    }
    match &model.measured {
        Some(speed) => println!(
            "  speed         {:.0} tokens/s read, {:.1} tokens/s written, loaded in {} ms; {}",
            speed.prefill_tokens_per_second, speed.decode_tokens_per_second, speed.load_ms, speed.device
        ),
        None => println!(
            "  speed         not measured: `inkling-models show {} --measure`",
            model.id
        ),
    }
    println!(
        "  memory        {}",
        Fit::here(&Needs::of(artifact, context)).summary()
    );
}

fn speed_of(model: &Installed) -> Result<Measured> {
    let fit = Fit::here(&Needs::of(&model.artifact, EngineOptions::default().context));
    if fit.fits() == Some(false) {
        bail!("{} {}", model.id, fit.summary());
    }
    let runtime = Runtime::load(&Locations::from_environment().runtime)?;
    let worker = Worker::spawn(&runtime, model.artifact.clone(), EngineOptions::default())?;
    let info = worker.info();
    Ok(Measured {
        device: info.device.summary(),
        prefill_tokens_per_second: info.prefill_tokens_per_second,
        decode_tokens_per_second: info.decode_tokens_per_second,
        load_ms: info.load_ms,
    })
}

async fn add_model(library: &Library, add: Add) -> Result<()> {
    let what = PathBuf::from(&add.what);
    let name = add.name.as_deref();
    let mut bar = Bar::new();
    let mut tell = |progress: Progress<'_>| bar.show(progress);
    let (model, report) = if what.is_dir() {
        (library.add_folder(&what, name)?, None)
    } else if what.is_file() {
        let extras = GgufExtras {
            card: add.card.clone(),
            licence: add.licence.clone(),
            chat_template: add.chat_template.clone(),
        };
        let (model, report) = library.add_gguf(&what, name, conversion(&add)?, &extras, &mut tell)?;
        (model, Some(report))
    } else if add.what.split('/').count() == 2 && !add.what.starts_with(['.', '/']) {
        let hub = Hub {
            address: add.hub.clone(),
            token: add.token.clone(),
            retries: Retries::default(),
        };
        let choice = HubChoice {
            revision: add.revision.clone(),
            variant: add.variant.clone(),
            file: add.file.clone(),
        };
        let options = conversion(&add).unwrap_or_default(); // the variant may be a hub's
        library
            .add_hub(&hub, &add.what, &choice, name, options, &mut tell)
            .await?
    } else {
        bail!(
            "there is no folder or file {}, and it is no hub's model (owner/name)",
            add.what
        );
    };
    drop(bar);
    println!(
        "{} is added: {}, {}.",
        model.id,
        size(model.bytes),
        model.artifact.quantisation
    );
    if let Some(report) = report {
        println!("  {}", report.summary());
    }
    Ok(())
}

fn conversion(add: &Add) -> Result<ConvertOptions> {
    let variant = add.variant.as_deref().unwrap_or("exact");
    Ok(ConvertOptions {
        variant: Variant::of_name(variant)
            .with_context(|| format!("a GGUF file is converted to fp32, q8 or exact, not to `{variant}`"))?,
        longest_context: add.context,
    })
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.0} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A line that is written over while something is under way; nothing where nobody watches.
struct Bar {
    watched: bool,
    last: (String, u64),
}

impl Bar {
    fn new() -> Self {
        Self {
            watched: std::io::stderr().is_terminal(),
            last: (String::new(), u64::MAX),
        }
    }

    fn show(&mut self, progress: Progress<'_>) -> bool {
        let percent = progress
            .total
            .map_or(0, |total| progress.done.saturating_mul(100) / total.max(1));
        let now = (
            progress.what.to_owned(),
            if progress.total.is_some() {
                percent
            } else {
                progress.done >> 20
            },
        );
        if self.watched && now != self.last {
            let filled = usize::try_from(percent / 4).unwrap_or(25).min(25);
            eprint!(
                "\r\x1b[K{} [{:<25}] {} of {}",
                progress.what,
                "#".repeat(filled),
                size(progress.done),
                progress.total.map_or("?".into(), size)
            );
            let _ = std::io::stderr().flush(); // a bar that cannot be shown is no error
            self.last = now;
        }
        true
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.watched && self.last.1 != u64::MAX {
            eprintln!();
        }
    }
}
